"""Two results beside each other: ``python -m bench.compare BEFORE.json AFTER.json [--tolerance 10]``.

Each line is a figure with the ratio of its medians, turned so that above 1 is better. A figure is a regression when it is
worse by more than the tolerance (percent) and, where both were taken several times, their spreads do not touch. The exit
code is 1 when there is one, and 2 when the files cannot be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Figure", "Pair", "figures", "main", "pairs"]

LESS_IS_BETTER = (
    *("_ms", "_us", "_mb", "_kb", "bytes", "late", "commands_per", "calls_per"),
    *("backlog", "times_raw", "times_longer", "_ratio", "per_job"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number: its median, and the least and the most of its rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, value: Any) -> Figure | None:
        """From a result's value: a number, or one with a spread; None for words and for zero."""
        if isinstance(value, dict) and {"median", "least", "most"} <= value.keys():
            return cls(value["median"], value["least"], value["most"]) if value["median"] else None
        return cls(value, value, value) if isinstance(value, int | float) and value else None


@dataclass(frozen=True, slots=True)
class Pair:
    """A figure before and after."""

    name: str
    before: Figure
    after: Figure

    @property
    def ratio(self) -> float:
        """How many times better it is now; below 1 is worse."""
        ratio = self.after.median / self.before.median
        return 1 / ratio if self._less_is_better else ratio

    @property
    def apart(self) -> bool:
        """Whether the spreads do not touch; single measurements have none."""
        return self.after.most < self.before.least or self.before.most < self.after.least

    def is_worse(self, tolerance: float) -> bool:
        """By more than the tolerance, a share of 1, and not within the spreads."""
        return self.ratio < 1 - tolerance and self.apart

    @property
    def _less_is_better(self) -> bool:
        return any(mark in self.name for mark in LESS_IS_BETTER)

    def __str__(self) -> str:
        before, after = _said(self.before), _said(self.after)
        return f"{self.name:44} {before:>34} {after:>34}  x {self.ratio:.2f}"


def main() -> None:
    """Compare two files."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--tolerance", type=float, default=10.0, metavar="PERCENT", help="default: 10")
    chosen = parser.parse_args()
    before, after = (json.loads(file.read_text()) for file in (chosen.before, chosen.after))
    found = list(pairs(before, after))
    if not found:
        print("the two results have no figure in common")
        sys.exit(2)
    for words in _differences(before, after):
        print(f"note: {words}")
    worse = [pair for pair in found if pair.is_worse(chosen.tolerance / 100)]
    for pair in found:
        print(f"{pair}{'  WORSE' if pair in worse else ''}")
    for name in sorted(set(figures(before)) - set(figures(after))):
        print(f"{name:44} is missing in the second")
    print(f"{len(found)} figures, {len(worse)} worse by more than {chosen.tolerance:g} %")
    sys.exit(bool(worse))


def pairs(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Pair]:
    """The figures that both results have, in the order of the second."""
    old = figures(before)
    for name, figure in figures(after).items():
        if name in old:
            yield Pair(name, old[name], figure)


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """The numbers of a result as ``<part>.<figure>``."""
    return {
        f"{part}.{name}": figure
        for part, values in result.items()
        if part != "machine"
        for name, value in values.items()
        if (figure := Figure.of(value)) is not None
    }


def _differences(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """What makes two results hard to compare."""
    old, new = before.get("machine", {}), after.get("machine", {})
    for name in ("system", "processor", "cores", "python", "server", "aof", "scale"):
        if old.get(name) != new.get(name):
            yield f"{name} was {old.get(name)} and is {new.get(name)}"


def _said(figure: Figure) -> str:
    if figure.least == figure.most:
        return _number(figure.median)
    return f"{_number(figure.median)} ({_number(figure.least)} to {_number(figure.most)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
