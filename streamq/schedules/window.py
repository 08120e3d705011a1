"""Between which moments a schedule may run, and when it may not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from streamq.schedules.blackout import Blackout
from streamq.schedules.timetable import Timetable, aware

__all__ = ["Window"]

_JUST: Final = timedelta(microseconds=1)
_MOST_BLACKOUTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Window:
    """Start and end of a schedule (aware; both belong to it; None for none), and its blackouts."""

    start: datetime | None = None
    end: datetime | None = None
    blackouts: tuple[Blackout, ...] = ()

    def allows(self, moment: datetime) -> bool:
        """Whether something may be due then."""
        return self.obstacle(moment) is None

    def obstacle(self, moment: datetime) -> str | None:
        """Why nothing is due then (before the start, after the end, which blackout), or None when it may be."""
        if self.start is not None and aware(moment) < aware(self.start):
            return f"before its start, {self.start.isoformat(' ')}"
        if self.end is not None and aware(moment) > aware(self.end):
            return f"after its end, {self.end.isoformat(' ')}"
        return next((f"in blackout {dark.name!r}" for dark in self.blackouts if dark.end_at(moment)), None)

    def after(self, timetable: Timetable, moment: datetime) -> datetime | None:
        """The timetable's next allowed fire time after ``moment``, in UTC.

        None when there is none: it is over, or a thousand blackouts on end took what would have come.
        """
        moment = aware(moment)
        if self.start is not None:
            moment = max(moment, aware(self.start) - _JUST)
        for _ in range(_MOST_BLACKOUTS):
            found = timetable.after(moment)
            if found is None or (self.end is not None and found > aware(self.end)):
                return None
            ends = [end for dark in self.blackouts if (end := dark.end_at(found)) is not None]
            if not ends:
                return found
            moment = max(found, max(ends) - _JUST)
        return None
