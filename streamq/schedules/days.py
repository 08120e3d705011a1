"""Which days a schedule wants: a union of day rules, in some months, perhaps only in every n-th day, week or month.

A ``DayRule`` counts days of given weekdays inside a month: the 15th is the fifteenth of all days, the last Friday the
last of the Fridays, the first working day the first of Monday to Friday. One form so says what cron, RRULE and phrases
can ask for.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, Literal

__all__ = ["ALL_MONTHS", "ALL_WEEKDAYS", "EVERY_DAY", "DayRule", "Days", "Stride", "Unit", "joined"]

Unit = Literal["day", "week", "month", "year"]

ALL_WEEKDAYS: Final = frozenset(range(7))
ALL_MONTHS: Final = frozenset(range(1, 13))
_HORIZON: Final = 400  # years: the calendar repeats, so what did not come by then never comes
_LAST_YEAR: Final = 9990
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DayRule:
    """The nth day of a month among those of some weekdays (0 = Monday), if it also is one of ``on``.

    nth: 0 means each of them; negative numbers count from the end of the month.
    """

    nth: int = 0
    among: frozenset[int] = ALL_WEEKDAYS
    on: frozenset[int] = ALL_WEEKDAYS

    def of(self, year: int, month: int) -> list[int]:
        """The days of that month, in order."""
        first, length = monthrange(year, month)
        counted = [day for day in range(1, length + 1) if (first + day - 1) % 7 in self.among]
        if self.nth:
            place = self.nth - 1 if self.nth > 0 else len(counted) + self.nth
            counted = counted[place : place + 1] if place >= 0 else []
        return [day for day in counted if (first + day - 1) % 7 in self.on]


EVERY_DAY: Final = frozenset({DayRule()})


@dataclass(frozen=True, slots=True)
class Stride:
    """Only every ``count``-th day, week (from Monday), month or year, counted from that of ``since``; none before it."""

    count: int
    unit: Unit
    since: date

    def takes(self, day: date) -> bool:
        """Whether the day, which is not before ``since``, is in one of those."""
        return self._distance(day) % self.count == 0

    def _distance(self, day: date) -> int:
        if self.unit == "day":
            return (day - self.since).days
        if self.unit == "week":
            return (_monday(day) - _monday(self.since)).days // 7
        if self.unit == "month":
            return (day.year - self.since.year) * 12 + day.month - self.since.month
        return day.year - self.since.year


@dataclass(frozen=True, slots=True)
class Days:
    """The days that any of the rules wants, in these months, if the stride takes them."""

    rules: frozenset[DayRule] = EVERY_DAY
    months: frozenset[int] = ALL_MONTHS
    stride: Stride | None = None

    def upcoming(self, day: date) -> date | None:
        """The first such day at or after ``day``, or None when none comes in the next 400 years."""
        if self.stride is not None:
            day = max(day, self.stride.since)
        for year, month in _months_from(day):
            for number in self._of(year, month):
                found = date(year, month, number)
                if found >= day and (self.stride is None or self.stride.takes(found)):
                    return found
        return None

    def _of(self, year: int, month: int) -> tuple[int, ...]:
        return _days_of(self.rules, year, month) if month in self.months else ()


def joined(rules: frozenset[DayRule]) -> frozenset[DayRule]:
    """The same rules with all plain weekdays in one, so that "monday and friday" is always the same value."""
    among = frozenset[int]().union(*(rule.among for rule in rules if not rule.nth))
    return frozenset(rule for rule in rules if rule.nth) | ({DayRule(0, among)} if among else frozenset())


@lru_cache(maxsize=1024)
def _days_of(rules: frozenset[DayRule], year: int, month: int) -> tuple[int, ...]:
    return tuple(sorted({day for rule in rules for day in rule.of(year, month)}))


def _months_from(day: date) -> Iterator[tuple[int, int]]:
    for year in range(day.year, min(day.year + _HORIZON, _LAST_YEAR) + 1):
        for month in range(day.month if year == day.year else 1, 13):
            yield year, month


def _monday(day: date) -> date:
    return day - day.weekday() * _DAY
