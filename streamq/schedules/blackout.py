"""Times in which nothing is due, said in words: holidays, ranges of dates, nights and weekends.

::

    2026-12-24 to 2027-01-02        25 december        24 december to 2 january
    weekends        weekdays 22:00 to 06:00        friday 18:00 to monday 06:00

Days are whole, and both ends of a range of days belong to it; hours end before their last moment. The clock on the wall
of a zone decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from streamq.errors import BadSchedule
from streamq.schedules.clock import DAY
from streamq.schedules.cursor import Cursor
from streamq.schedules.lexicon import read_date, read_day_of_month, read_time, read_weekdays
from streamq.schedules.timetable import aware
from streamq.schedules.zones import known_zone

__all__ = ["Blackout"]

_ONE_DAY: Final = timedelta(days=1)
_WEEK: Final = 7 * DAY
_TO: Final = ("to", "until", "till", "through")


@dataclass(frozen=True, slots=True)
class _Dates:
    """From the first to the last date."""

    first: date
    last: date

    def end_at(self, wall: datetime) -> datetime | None:
        """When the stretch around this wall time ends, or None when it is outside."""
        return _midnight_after(self.last) if self.first <= wall.date() <= self.last else None


@dataclass(frozen=True, slots=True)
class _Yearly:
    """From one (month, day) to another, also over the end of the year."""

    first: tuple[int, int]
    last: tuple[int, int]

    def end_at(self, wall: datetime) -> datetime | None:
        """When the stretch around this wall time ends, or None when it is outside."""
        day = wall.date()
        if not self._has(day):
            return None
        while self._has(day + _ONE_DAY) and (day.month, day.day) != self.last:
            day += _ONE_DAY
        return _midnight_after(day)

    def _has(self, day: date) -> bool:
        here = (day.month, day.day)
        if self.first <= self.last:
            return self.first <= here <= self.last
        return here >= self.first or here <= self.last


@dataclass(frozen=True, slots=True)
class _Weekly:
    """Some seconds long, from some seconds of the week (from Monday) on."""

    starts: tuple[int, ...]
    length: int

    def end_at(self, wall: datetime) -> datetime | None:
        """When the stretch around this wall time ends, or None when it is outside."""
        here = wall.weekday() * DAY + wall.hour * 3600 + wall.minute * 60 + wall.second
        left = max((self.length - (here - start) % _WEEK for start in self.starts), default=0)
        return wall.replace(microsecond=0) + timedelta(seconds=left) if left > 0 else None


@dataclass(frozen=True, slots=True)
class Blackout:
    """A time in which nothing is due: ``text`` is what it was read from, ``name`` what people call it."""

    text: str
    zone: str
    name: str
    stretch: _Dates | _Yearly | _Weekly

    @classmethod
    def read(cls, text: str, zone: str = "UTC", name: str = "") -> Blackout:
        """The blackout of such a text; its name is the text, if none is given.

        Raises BadSchedule with the words that were not understood.
        """
        cursor = Cursor(text)
        stretch = _read_dates(cursor) or _read_yearly(cursor) or _read_weekly(cursor)
        if stretch is None or not cursor.ended:
            raise BadSchedule(
                f"not understood in blackout {text!r}: {' '.join(cursor.words[cursor.place :]) or text!r}. Say "
                "'2026-12-24 to 2027-01-02', '25 december', 'weekends' or 'friday 18:00 to monday 06:00'"
            )
        return cls(text, known_zone(zone), name or text, stretch)

    def end_at(self, moment: datetime) -> datetime | None:
        """When the blackout around a moment (aware) ends, in UTC, or None when the moment is not in it."""
        zone = ZoneInfo(self.zone)
        end = self.stretch.end_at(aware(moment).astimezone(zone).replace(tzinfo=None, fold=0))
        return None if end is None else end.replace(tzinfo=zone).astimezone(UTC)


def _read_dates(cursor: Cursor) -> _Dates | None:
    first = cursor.attempt(read_date)
    if first is None:
        return None
    last = cursor.attempt(read_date) if cursor.take(*_TO) else first
    if last is None or last < first:
        raise BadSchedule(f"blackout {cursor.text!r}: after 'to' stands a date that is not before {first}")
    return _Dates(first, last)


def _read_yearly(cursor: Cursor) -> _Yearly | None:
    first = cursor.attempt(read_day_of_month)
    if first is None:
        return None
    last = cursor.attempt(read_day_of_month) if cursor.take(*_TO) else first
    return None if last is None else _Yearly(first, last)


def _read_weekly(cursor: Cursor) -> _Weekly | None:
    cursor.take("every", "on")
    found = cursor.several(read_weekdays)
    if not found:
        return None
    weekdays = sorted(frozenset[int]().union(*(days for days, _ in found)))
    if cursor.ended:
        return _Weekly(tuple(day * DAY for day in weekdays), DAY)
    first = cursor.attempt(read_time)
    if first is None or not cursor.take(*_TO):
        return None
    until = cursor.attempt(read_weekdays)
    last = cursor.attempt(read_time)
    if last is None or (until is not None and (len(until[0]) != 1 or len(weekdays) != 1)):
        return None
    days = (min(until[0]) - weekdays[0]) * DAY if until else 0
    length = (days + last - first) % (_WEEK if until else DAY)
    if length == 0:
        raise BadSchedule(f"blackout {cursor.text!r} ends where it begins")
    return _Weekly(tuple(day * DAY + first for day in weekdays), length)


def _midnight_after(day: date) -> datetime:
    return datetime.combine(day + _ONE_DAY, time())
