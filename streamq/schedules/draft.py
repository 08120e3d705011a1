"""What the clauses of a phrase have said so far, and where and when it is said."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from streamq.errors import BadSchedule
from streamq.schedules.days import DayRule, Unit
from streamq.schedules.walltime import DstPolicy

__all__ = ["Draft", "Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when a phrase is said: its zone, whether the phrase itself names it, the policy, and the present."""

    zone: str
    named: bool
    policy: DstPolicy
    now: dt.datetime | None

    @property
    def present(self) -> dt.datetime:
        """The present, in whole seconds. Raises BadSchedule when nobody said it."""
        if self.now is None:
            raise BadSchedule("the phrase counts from the present, which is not known here: pass now=")
        return self.now.replace(microsecond=0)

    @property
    def today(self) -> dt.date:
        """The present date in the zone."""
        return self.present.astimezone(ZoneInfo(self.zone)).date()


@dataclass(slots=True)
class Draft:
    """The clauses of one phrase, by what they are about; ``assembling`` makes a timetable of them.

    rule_months: the months that each of the day rules was said with.
    step: seconds of ``every 15 minutes``; stride: count and unit of ``every 2 weeks``; past: minutes past the hour.
    starting: date, second of the day and offset from UTC, if those were said.
    """

    text: str
    rules: set[DayRule] = field(default_factory=set)
    rule_months: set[frozenset[int]] = field(default_factory=set)
    months: frozenset[int] | None = None
    stride: tuple[int, Unit] | None = None
    times: list[int] = field(default_factory=list)
    step: int | None = None
    between: tuple[int, int] | None = None
    past: list[int] = field(default_factory=list)
    starting: tuple[dt.date, int | None, dt.timedelta | None] | None = None
    date: dt.date | None = None
    offset: dt.timedelta | None = None
    delay: int | None = None

    def refuse(self, why: str) -> BadSchedule:
        """The error for this phrase."""
        return BadSchedule(f"{self.text!r} {why}")

    def said(self) -> set[str]:
        """The names of the parts that are there."""
        names = self.__slots__
        return {name for name in names if getattr(self, name) not in (None, [], set())} - {
            "text",
            "rule_months",
        }
