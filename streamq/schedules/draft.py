"""What the clauses of a phrase have said so far, and where and when it is said."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from streamq.errors import BadSchedule
from streamq.schedules.days import ALL_MONTHS, DayRule, Unit
from streamq.schedules.walltime import DstPolicy

__all__ = ["Draft", "Place"]

_MOST: Final = 1000


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

    def say_days(self, rules: set[DayRule], months: frozenset[int] = ALL_MONTHS) -> str:
        """Adds days, and in which months they were said."""
        before = [(rule.nth, weekday) for rule in self.rules for weekday in rule.among]
        if any((rule.nth, weekday) in before for rule in rules for weekday in rule.among):
            raise self.refuse("names a day twice")
        self.rules |= rules
        self.rule_months.add(months)
        return "days"

    def say_months(self, months: frozenset[int]) -> str:
        """Says in which months all of it is."""
        if self.months is not None:
            raise self.refuse("says its months twice")
        self.months = months
        return "months"

    def say_step(self, seconds: int) -> str:
        """Says how often, in seconds."""
        if self.step is not None:
            raise self.refuse("says how often twice: make a schedule for each")
        self.step = seconds
        return "how often"

    def say_stride(self, count: int, unit: Unit) -> str:
        """Says every which day, week, month or year."""
        if self.stride is not None:
            raise self.refuse("says how often twice: make a schedule for each")
        if not 1 <= count <= _MOST:
            raise self.refuse(f"is out of range: every 1 to {_MOST} {unit}s")
        self.stride = (count, unit)
        return "stride"

    def one_of_each(self, found: list[tuple[frozenset[int], bool]]) -> frozenset[int]:
        """The weekdays of a list in which none comes twice."""
        weekdays = frozenset[int]().union(*(some for some, _ in found))
        if len(weekdays) < sum(len(some) for some, _ in found):
            raise self.refuse("names a day twice")
        return weekdays

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
