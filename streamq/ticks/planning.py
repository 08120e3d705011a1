"""What is to be done about a schedule now: which of the times that have come get a job, and which time is next. Pure.

A time is *due* at its jitter after itself, which is computed from the schedule's name and the time, so that everybody
computes the same. A time that came while nobody ticked is *late*; the policies say which late ones still get a job.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from streamq.schedules import jitter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamq.schedules import Timetable, Window
    from streamq.ticks.policies import Policies

__all__ = ["Step", "Times", "instant", "ms_of"]

PUNCTUAL = 60.0  # seconds that a tick may be late with missed="skip": a restart is no outage
_ONE_MS = timedelta(milliseconds=1)


class Step(NamedTuple):
    """One call of ``tick``: the first time that is passed over, the time that gets a job, and the next one."""

    missed: datetime | None
    due: datetime | None
    following: datetime | None


def ms_of(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


def instant(ms: float) -> datetime:
    """The moment, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Times:
    """The times of one schedule: those of its timetable that its window allows, and when each is due."""

    name: str
    timetable: Timetable
    window: Window
    policies: Policies

    def after(self, moment: datetime) -> datetime | None:
        """The first time after ``moment``, or None when there is none."""
        return self.window.after(self.timetable, moment)

    def between(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """All times from ``first`` to ``last``, both included."""
        found = self.after(first - _ONE_MS)
        while found is not None and found <= last:
            yield found
            found = self.after(found)

    def due_at(self, moment: datetime) -> datetime:
        """When that time is due: at most the jitter after itself, the same for everybody who asks."""
        most = self.policies.jitter
        return moment + jitter(self.name, moment, timedelta(seconds=most)) if most else moment

    def place(self, following: datetime | None) -> tuple[int, int] | None:
        """A next time as the server is told it: itself and when it is due."""
        return None if following is None else (ms_of(following), ms_of(self.due_at(following)))

    def place_after(self, clock: int) -> tuple[int, int] | None:
        """The first time after a moment (ms), as the server is told it."""
        return self.place(self.after(instant(clock)))

    def steps(self, expected: datetime, now: datetime) -> list[Step]:
        """What to do when ``expected``, the time that the server waits for, is due: at least one step."""
        times, following = self._come(expected, now)
        wanted = [moment for moment in times if self._is_wanted(moment, now)]
        if not wanted:
            return [Step(expected, None, following)]
        missed = None if wanted[0] == expected else expected
        steps = [Step(None, *step) for step in zip(wanted, [*wanted[1:], following], strict=True)]
        return [steps[0]._replace(missed=missed), *steps[1:]]

    def _is_wanted(self, moment: datetime, now: datetime) -> bool:
        policies = self.policies
        longest = PUNCTUAL if policies.missed == "skip" and policies.lateness is None else policies.lateness
        return longest is None or (now - self.due_at(moment)).total_seconds() <= longest

    def _come(self, expected: datetime, now: datetime) -> tuple[list[datetime], datetime | None]:
        """The latest times from ``expected`` on that are due by now, as many as may run; and the first that is not."""
        most = self.policies.most if self.policies.missed == "all" else 1
        surely = now - timedelta(seconds=self.policies.jitter)
        times = deque([expected], most)
        times.extend(self._latest(expected, surely, most))
        following = self.after(times[-1])
        while following is not None and self.due_at(following) <= now:
            times.append(following)
            following = self.after(following)
        return list(times), following

    def _latest(self, begin: datetime, end: datetime, most: int) -> list[datetime]:
        """The latest times after ``begin`` up to ``end``; looks back in growing steps, so that a year's outage costs no year."""
        span = timedelta(seconds=1)
        while True:
            first = max(begin + _ONE_MS, end - span)
            found = deque(self.between(first, end), most)
            if len(found) == most or first == begin + _ONE_MS or begin >= end:
                return list(found)
            span *= 2
