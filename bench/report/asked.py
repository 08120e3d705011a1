"""What was asked of a figure, and whether it is met: once for the first engine, and again for the present one."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Asked", "at_least", "at_most", "said"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Bounds, the first engine's first. ``least`` is whether they are lower ones."""

    least: bool
    bounds: tuple[float, ...]

    def __str__(self) -> str:
        return "; ".join(f"{'≥' if self.least else '≤'} {said(bound)}" for bound in self.bounds)

    def judged(self, number: float) -> str:
        """``met`` or ``missed by …`` for each bound."""
        return "; ".join(self._one(number, bound) for bound in self.bounds)

    def _one(self, number: float, bound: float) -> str:
        short = (bound - number if self.least else number - bound) / bound
        return "met" if short <= 0 else f"**missed by {max(short, 0.001):.{0 if short >= 0.1 else 1}%}**"


def at_least(*bounds: float) -> Asked:
    """At least this; of two the first was asked of the first engine."""
    return Asked(True, bounds)


def at_most(*bounds: float) -> Asked:
    """At most this; of two the first was asked of the first engine."""
    return Asked(False, bounds)


def said(number: float) -> str:
    """Three figures, or all of them before the point."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
