"""A timetable by the calendar and the clock on the wall of a zone: what cron expressions, phrases and RRULEs mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from streamq.schedules.clock import Times
from streamq.schedules.days import Days
from streamq.schedules.linting import lint_changes, lint_days, lint_fields, lint_pace, lint_zone
from streamq.schedules.timetable import Timetable, aware
from streamq.schedules.walltime import DEFAULT_POLICY, WALL_CLOCK, DstPolicy, next_moment
from streamq.schedules.wording import FOLD_WORDS, GAP_WORDS, WALL_CLOCK_WORDS, days_words

__all__ = ["Calendar"]


@dataclass(frozen=True, slots=True)
class Calendar(Timetable):
    """Some times of some days in a zone.

    The policy is about times that a change of the clock skips or repeats. It has no meaning, and is put to a fixed
    value, in UTC, and for patterns that are the same in every hour (``*/15 * * * *``): those follow the clock on the wall.
    ``cron`` is the expression it was written as, if it was one.
    """

    days: Days
    times: Times
    zone: str = "UTC"
    policy: DstPolicy = DEFAULT_POLICY
    cron: str = ""

    def __post_init__(self) -> None:
        if self.times.hourly:
            object.__setattr__(self, "policy", WALL_CLOCK)
        elif self.zone == "UTC":
            object.__setattr__(self, "policy", DEFAULT_POLICY)

    def after(self, moment: datetime) -> datetime | None:
        """The next of its times; see ``walltime`` for changes of the clock."""
        return next_moment(self, ZoneInfo(self.zone), self.policy, aware(moment))

    def upcoming(self, wall: datetime) -> datetime | None:
        """Its first wall time (naive) at or after ``wall``."""
        second = wall.hour * 3600 + wall.minute * 60 + wall.second
        day = self.days.upcoming(wall.date())
        while day is not None:
            found = self.times.upcoming(second if day == wall.date() else 0)
            if found is not None:
                return datetime.combine(day, time()) + timedelta(seconds=found)
            day = self.days.upcoming(day + timedelta(days=1))
        return None

    def words(self) -> str:
        """``every weekday at 09:00 Europe/Rome; …`` and what happens when the clock changes."""
        said = f"{self._phrase()} {self.zone}"
        if self.times.hourly:
            return f"{said}; {WALL_CLOCK_WORDS}"
        if self.zone == "UTC":
            return said
        return f"{said}; {GAP_WORDS[self.policy.gap]}; {FOLD_WORDS[self.policy.fold]}"

    @property
    def written(self) -> str:
        """The cron expression or phrase, the zone, and the policy where it has a meaning."""
        said = f"{self.cron or self._phrase()} {self.zone}"
        if self.times.hourly or self.zone == "UTC":
            return said
        return f"{said} gap={self.policy.gap} fold={self.policy.fold}"

    def lint(self, moment: datetime) -> list[str]:
        """Days that are rare or never come, changes of the clock in the coming year, uneven steps, a high pace."""
        moment = aware(moment)
        if self.after(moment) is None:
            return ["never fires: no day is like that"]
        changes = () if self.times.hourly else lint_changes(self, ZoneInfo(self.zone), self.policy, moment)
        return [
            *lint_days(self.days),
            *lint_fields(self.cron, self.times),
            *lint_pace(self.times),
            *lint_zone(self.zone, moment),
            *changes,
        ]

    def _phrase(self) -> str:
        times = self.times.words()
        if self.times.words().startswith("every"):
            said = f"{times} {days_words(self.days, after_times=True)}"
        else:
            said = f"{days_words(self.days)} {times}"
        stride = self.days.stride
        return said if stride is None else f"{said} starting {stride.since}"
