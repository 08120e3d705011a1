"""A second opinion about when schedules fire, made of other parts: cronsim, and the offsets of a zone in a row.

cronsim says the wall times of an expression (without any zone). The moments come from the zone's offsets, scanned from
UTC: a wall time happens at each moment at which the clock shows it, so none in a gap and two in a fold; nothing of the
code under test, nor ``fold`` of datetime, is used. ``cronsim_in_zone`` is cronsim's own opinion in a zone: for expressions
of certain hours its jobs shift over gaps and run once in folds, for those of every hour it follows the clock.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim

from streamq.schedules import DstPolicy

STEP = timedelta(hours=6)
MINUTE = timedelta(minutes=1)


class Offsets:
    """The offsets of a zone between two moments: from when each one holds, to the minute."""

    def __init__(self, zone: ZoneInfo, start: datetime, end: datetime) -> None:
        self.zone = zone
        self.starts, self.offsets = [start], [self._at(start)]
        moment = start
        while moment < end:
            moment += STEP
            if self._at(moment) != self.offsets[-1]:
                turn = self._turn(moment - STEP, moment)
                self.starts.append(turn)
                self.offsets.append(self._at(turn))

    @property
    def clock(self) -> tuple[object, ...]:
        """Equal for zones whose clocks show the same."""
        return tuple(self.starts), tuple(self.offsets)

    @property
    def turns(self) -> list[datetime]:
        """The moments at which the clock changes."""
        return self.starts[1:]

    def moments(self, wall: datetime, policy: DstPolicy) -> list[datetime]:
        """When the clock shows this wall time (naive), by the policy."""
        shown = [moment for index in self._near(wall) if self._holds(index, moment := self._by(index, wall))]
        if not shown:
            return [self._after_gap(wall)] if policy.gap == "shift" else []
        return {"first": shown[:1], "last": shown[-1:], "both": shown}[policy.fold]

    def _after_gap(self, wall: datetime) -> datetime:
        return next(
            self.starts[index] for index in self._near(wall) if self._by(index, wall) < self.starts[index]
        )

    def _by(self, index: int, wall: datetime) -> datetime:
        return (wall - self.offsets[index]).replace(tzinfo=UTC)

    def _holds(self, index: int, moment: datetime) -> bool:
        later = index + 1 == len(self.starts) or moment < self.starts[index + 1]
        return self.starts[index] <= moment and later

    def _near(self, wall: datetime) -> range:
        place = bisect_right(self.starts, wall.replace(tzinfo=UTC)) - 1
        return range(max(0, place - 1), min(len(self.starts), place + 3))

    def _turn(self, early: datetime, late: datetime) -> datetime:
        while self._at(early) != self._at(late):
            early += MINUTE
        return early

    def _at(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()


def expected(
    expression: str, offsets: Offsets, policy: DstPolicy, start: datetime, end: datetime
) -> list[datetime]:
    """The moments after ``start`` and before ``end``, in order."""
    found = {moment for wall in _walls(expression, start, end) for moment in offsets.moments(wall, policy)}
    return sorted(moment for moment in found if start < moment < end)


def cronsim_in_zone(expression: str, zone: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """The same, as cronsim says it."""
    moments = (local.astimezone(UTC) for local in CronSim(expression, start.astimezone(zone)))
    return list(takewhile(lambda moment: moment < end, moments))


@lru_cache(maxsize=16)
def _walls(expression: str, start: datetime, end: datetime) -> list[datetime]:
    """All wall times of the expression that can be between the moments in any zone."""
    first, last = (
        moment.replace(tzinfo=None) for moment in (start - timedelta(days=2), end + timedelta(days=2))
    )
    return list(takewhile(lambda wall: wall <= last, CronSim(expression, first)))
