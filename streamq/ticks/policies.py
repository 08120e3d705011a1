"""The policies of a schedule: what becomes of times that nobody ticked, and of those that meet an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from streamq.durations import Duration, seconds
from streamq.errors import ConfigError

__all__ = ["MOST", "Missed", "Overlap", "Policies"]

Missed = Literal["skip", "latest", "all"]
Overlap = Literal["allow", "skip", "queue", "cancel"]
MOST = 1000  # late times that may be made up for
_DEFAULT_MOST = 100


@dataclass(frozen=True, slots=True)
class Policies:
    """Checked. ``most``, ``lateness``, ``jitter`` and ``grace`` are a number and seconds.

    ``missed``: of late times, run none that is more than a minute late (``skip``), the latest one (``latest``), or the
    latest ``most`` (``all``); none that is later than ``lateness``. ``overlap``: while an earlier run goes on, run too
    (``allow``), not at all (``skip``), once when it has ended (``queue``), or end it and run then (``cancel``).
    ``grace``: how long after its time a run must be complete, else ``schedule.missed`` is told.
    """

    missed: Missed = "latest"
    most: int = _DEFAULT_MOST
    lateness: float | None = None
    overlap: Overlap = "skip"
    jitter: float = 0.0
    grace: float | None = None

    @classmethod
    def of(
        cls,
        missed: Missed = "latest",
        most: int | None = None,
        lateness: Duration | None = None,
        overlap: Overlap = "skip",
        jitter: Duration = 0,
        grace: Duration | None = None,
    ) -> Self:
        """From what people write. Raises ConfigError."""
        _one_of("missed", missed, get_args(Missed))
        _one_of("overlap", overlap, get_args(Overlap))
        if most is not None and missed != "all":
            raise ConfigError(f'most={most} counts the late runs of missed="all"; missed is "{missed}"')
        if most is not None and not 1 <= most <= MOST:
            raise ConfigError(f"most={most} is out of range: it is from 1 to {MOST:,}")
        return cls(
            missed,
            most or _DEFAULT_MOST,
            None if lateness is None else seconds(lateness, "lateness"),
            overlap,
            seconds(jitter, "jitter"),
            None if grace is None else seconds(grace, "grace"),
        )

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> Self:
        """From the fields of a schedule."""

        def span(name: str) -> float | None:
            return int(fields[name]) / 1000 if name in fields else None

        known: dict[str, Any] = {name: fields[name] for name in ("missed", "overlap") if name in fields}
        most = int(fields.get("most", _DEFAULT_MOST))
        return cls(
            most=most, lateness=span("lateness"), jitter=span("jitter") or 0.0, grace=span("grace"), **known
        )

    @property
    def fields(self) -> dict[str, str]:
        """As they are kept: durations in milliseconds, what is not set is not there."""
        spans = {"lateness": self.lateness, "jitter": self.jitter or None, "grace": self.grace}
        kept = {name: str(round(span * 1000)) for name, span in spans.items() if span is not None}
        most = {"most": str(self.most)} if self.missed == "all" else {}
        return {"missed": self.missed, "overlap": self.overlap, **most, **kept}


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}={value!r} is not known: use {', '.join(map(repr, allowed))}")
