"""What every schedule can say: when it is due next, what it is in words, and how it is written down."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from streamq.errors import ConfigError
from streamq.schedules.clock import length_words
from streamq.schedules.wording import WEEKDAYS

__all__ = ["EPOCH", "Interval", "Once", "Timetable", "aware"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER: Final = "never fires: the time is past"


class Timetable(ABC):
    """When something is due. Values: equal when they are written alike, and free of any clock of their own."""

    __slots__ = ()

    @abstractmethod
    def after(self, moment: datetime) -> datetime | None:
        """The next fire time, in UTC, strictly after ``moment`` (aware), or None when there is none any more."""

    @abstractmethod
    def words(self) -> str:
        """The schedule said back in plain language, with its zone and what it does when clocks change.

        ``parse`` reads the words to an equal timetable, except those of cron expressions, which describe them.
        """

    @property
    @abstractmethod
    def written(self) -> str:
        """The canonical text: ``parse`` reads it to an equal timetable, whatever else it is given."""

    @abstractmethod
    def lint(self, moment: datetime) -> list[str]:
        """What may surprise in the year after ``moment``, a sentence each; empty when nothing does."""


@dataclass(frozen=True, slots=True)
class Once(Timetable):
    """One moment (UTC, whole seconds); ``zone`` is where it was said."""

    at: datetime
    zone: str

    def after(self, moment: datetime) -> datetime | None:
        """The moment, while it is still to come."""
        return self.at if self.at > aware(moment) else None

    def words(self) -> str:
        """``once on tuesday 2026-12-01 at 09:00 +01:00 Europe/Rome``."""
        local = self.at.astimezone(ZoneInfo(self.zone))
        return f"once on {WEEKDAYS[local.weekday()]} {local:%Y-%m-%d} at {_clock(local)} {_offset(local)} {self.zone}"

    @property
    def written(self) -> str:
        """``2026-12-01 09:00 +01:00 Europe/Rome``: the offset fixes the moment even where the clock repeats."""
        local = self.at.astimezone(ZoneInfo(self.zone))
        return f"{local:%Y-%m-%d} {_clock(local)} {_offset(local)} {self.zone}"

    def lint(self, moment: datetime) -> list[str]:
        """Whether it is past."""
        return [] if self.after(moment) else [_NEVER]


@dataclass(frozen=True, slots=True)
class Interval(Timetable):
    """Every so many seconds of elapsed time, counted from ``anchor`` (UTC); nothing is due before it.

    The anchor is the beginning of 1970 in UTC unless a start is said, so it does not move when a schedule is declared
    again: ``every 2 hours`` is due at the even hours of UTC.
    """

    every: int
    anchor: datetime = EPOCH

    def after(self, moment: datetime) -> datetime | None:
        """The next multiple of the interval; changes of clocks do not matter."""
        step = timedelta(seconds=self.every)
        return self.anchor + max(0, (aware(moment) - self.anchor) // step + 1) * step

    def words(self) -> str:
        """``every 90 seconds counted from 1970-01-01 00:00 UTC``."""
        return f"every {length_words(self.every)} counted from {_start(self.anchor)}"

    @property
    def written(self) -> str:
        """``every 90 seconds``, and from when, if that is not 1970."""
        start = "" if self.anchor == EPOCH else f" starting {_start(self.anchor)}"
        return f"every {length_words(self.every)}{start}"

    def lint(self, moment: datetime) -> list[str]:
        """Whether it is very fast, or begins later."""
        found = [f"first fires at {_start(self.anchor)}"] if self.anchor > aware(moment) else []
        return found + ([f"fires {60 // self.every} times a minute"] if self.every < 60 else [])


def aware(moment: datetime) -> datetime:
    """The moment in UTC. Raises ConfigError when it has no zone: local times are ambiguous."""
    if moment.tzinfo is None:
        raise ConfigError(
            f"moment={moment.isoformat()} has no time zone: use datetime.now(UTC) or one with tzinfo"
        )
    return moment.astimezone(UTC)


def _clock(local: datetime) -> str:
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"


def _offset(local: datetime) -> str:
    text = f"{local:%z}"
    return f"{text[:3]}:{text[3:]}"


def _start(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d} {_clock(moment)} UTC"
