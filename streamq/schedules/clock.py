"""Which times of a day a schedule wants, in seconds since midnight on the wall: a list, an even spread, or cron's fields.

Each says the first of its times at or after a second of the day, whether it asks the same of every hour (such patterns
follow the wall clock through changes, see ``walltime``), and itself in words.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

__all__ = ["DAY", "Fields", "Listed", "Spread", "Times", "clock_words", "length_words", "listing", "simplest"]

DAY: Final = 86_400
_HOURS: Final = tuple(range(24))
_SIXTY: Final = tuple(range(60))
_FEW: Final = 12
_LENGTHS: Final = (("hour", 3600), ("minute", 60))


@dataclass(frozen=True, slots=True)
class Listed:
    """Some times, sorted."""

    times: tuple[int, ...]

    @property
    def hourly(self) -> bool:
        """Whether every hour has the same times: never, of a list."""
        return False

    def upcoming(self, second: int) -> int | None:
        """The first of its times at or after that second of the day, or None."""
        place = bisect_left(self.times, second)
        return self.times[place] if place < len(self.times) else None

    def words(self) -> str:
        """``at 09:00, 13:00 and 17:30``."""
        return f"at {listing([clock_words(time) for time in self.times])}"


@dataclass(frozen=True, slots=True)
class Spread:
    """Every ``step`` seconds from ``first`` up to and including ``last``; it begins anew each day."""

    step: int
    first: int = 0
    last: int = DAY - 1

    @property
    def hourly(self) -> bool:
        """Whether every hour has the same times."""
        return 3600 % self.step == 0 and self.first == 0 and self.last == DAY - 1

    def upcoming(self, second: int) -> int | None:
        """The first of its times at or after that second of the day, or None."""
        found = self.first + max(0, -(-(second - self.first) // self.step)) * self.step
        return found if found <= self.last else None

    def words(self) -> str:
        """``every 15 minutes between 09:00 and 17:00``."""
        whole = (self.first, self.last) == (0, DAY - 1)
        between = "" if whole else f" between {clock_words(self.first)} and {clock_words(self.last)}"
        return f"every {length_words(self.step)}{between}"


@dataclass(frozen=True, slots=True)
class Fields:
    """All combinations of some hours, minutes and seconds, each sorted."""

    hours: tuple[int, ...] = _HOURS
    minutes: tuple[int, ...] = _SIXTY
    seconds: tuple[int, ...] = (0,)

    @property
    def hourly(self) -> bool:
        """Whether every hour has the same times."""
        return self.hours == _HOURS

    def upcoming(self, second: int) -> int | None:
        """The first of its times at or after that second of the day, or None."""
        minute, rest = divmod(second, 60)
        hour, minute = divmod(minute, 60)
        for found in self.hours[bisect_left(self.hours, hour) :]:
            inside = self._in_hour(minute, rest) if found == hour else self.minutes[0] * 60 + self.seconds[0]
            if inside is not None:
                return found * 3600 + inside
        return None

    def words(self) -> str:
        """``every hour at minute 15``, ``at second 0 of every minute of hours 9 to 17``."""
        minutes = _some("minute", self.minutes, 60)
        if self.hourly and self.seconds == (0,):
            return f"every hour at {minutes}"
        seconds = "" if self.seconds == (0,) else f"{_some('second', self.seconds, 60)} of "
        hours = "every hour" if self.hourly else _some("hour", self.hours, 24)
        return f"at {seconds}{minutes} of {hours}"

    def _in_hour(self, minute: int, second: int) -> int | None:
        for found in self.minutes[bisect_left(self.minutes, minute) :]:
            place = bisect_left(self.seconds, second) if found == minute else 0
            if place < len(self.seconds):
                return found * 60 + self.seconds[place]
        return None


Times = Listed | Spread | Fields


def simplest(fields: Fields) -> Times:
    """The same times as a spread, if they are one all day long, or as a list, if they are few."""
    count = len(fields.minutes) * len(fields.seconds)
    if fields.hourly and 3600 % count == 0:
        spread = Spread(3600 // count)
        if all(spread.upcoming(time) == time for time in _times_of(fields, (0,))):
            return spread
    if len(fields.hours) * count <= _FEW:
        return Listed(_times_of(fields, fields.hours))
    return fields


def clock_words(second: int) -> str:
    """A second of the day as ``09:00`` or ``09:00:30``."""
    minute, second = divmod(second, 60)
    text = f"{minute // 60:02}:{minute % 60:02}"
    return f"{text}:{second:02}" if second else text


def length_words(seconds: int) -> str:
    """A length of time in its largest whole unit: ``15 minutes``, ``hour`` (for one), ``90 seconds``."""
    for unit, size in _LENGTHS:
        if seconds % size == 0:
            return unit if seconds == size else f"{seconds // size} {unit}s"
    return "second" if seconds == 1 else f"{seconds} seconds"


def listing(words: list[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return f" {last} ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _times_of(fields: Fields, hours: tuple[int, ...]) -> tuple[int, ...]:
    minutes = [hour * 60 + minute for hour in hours for minute in fields.minutes]
    return tuple(minute * 60 + second for minute in minutes for second in fields.seconds)


def _some(unit: str, numbers: tuple[int, ...], size: int) -> str:
    if len(numbers) == size:
        return f"every {unit}"
    if len(numbers) > 2 and numbers == tuple(range(numbers[0], numbers[-1] + 1)):
        return f"{unit}s {numbers[0]} to {numbers[-1]}"
    return f"{unit}{'s' * (len(numbers) > 1)} {listing([str(number) for number in numbers])}"
