"""From the clock on the wall to moments in UTC: what happens where daylight saving skips or repeats an hour.

A pattern says which wall times it wants; this module finds the next moment at which one of them is due. In a *gap* (the
clock jumps forward) a wanted wall time does not exist; in a *fold* (it jumps back) it exists twice. A ``DstPolicy`` says
what is done then. The first occurrences of wall times follow one another in the order of those times, and so do the
last ones; so the next moment is found by one search in the pattern, without looking at what lies around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol
from zoneinfo import ZoneInfo

__all__ = [
    "DEFAULT_POLICY",
    "WALL_CLOCK",
    "DstPolicy",
    "Fold",
    "Gap",
    "Turn",
    "WallPattern",
    "moments_of",
    "next_moment",
    "turns",
]

Gap = Literal["shift", "skip"]
Fold = Literal["first", "last", "both"]

_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DstPolicy:
    """What to do with wall times that a change of the clock skips or repeats.

    gap: ``shift`` runs at the first moment after the gap, once for all times in it; ``skip`` does not run.
    fold: run at the ``first`` or the ``last`` occurrence, or at ``both``.
    """

    gap: Gap = "shift"
    fold: Fold = "first"


DEFAULT_POLICY: Final = DstPolicy()
WALL_CLOCK: Final = DstPolicy("skip", "both")
"""What patterns of every hour do: they follow the clock that one sees, so nothing is lost in a gap, and an hour that
comes twice has its runs twice. So does cron with jobs whose hour is ``*``."""


class WallPattern(Protocol):
    """Whatever wants wall times, in whole seconds."""

    def upcoming(self, wall: datetime) -> datetime | None:
        """The first wall time (naive) at or after ``wall``, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """A change of a zone's clock: the moment (UTC), and what the clock would have shown and shows at it."""

    moment: datetime
    before: datetime
    after: datetime


def next_moment(pattern: WallPattern, zone: ZoneInfo, policy: DstPolicy, moment: datetime) -> datetime | None:
    """The next moment (UTC) strictly after ``moment`` at which the pattern is due, or None when there is none."""
    rounds = ("first", "last") if policy.fold == "both" else (policy.fold,)
    found = [_next_of(pattern, zone, policy.gap, fold == "last", moment) for fold in rounds]
    return min((due for due in found if due is not None), default=None)


def moments_of(wall: datetime, zone: ZoneInfo, policy: DstPolicy) -> tuple[datetime, ...]:
    """The moments (UTC) of one wall time under the policy: none, one or two."""
    first, last = _occurrences(wall, zone)
    if first > last:
        return (_turn(zone, last, first).moment,) if policy.gap == "shift" else ()
    if first == last or policy.fold == "first":
        return (first,)
    return (last,) if policy.fold == "last" else (first, last)


def turns(zone: ZoneInfo, start: datetime, days: int) -> Iterator[Turn]:
    """The changes of the zone's clock in so many days after ``start`` (UTC)."""
    for day in range(days):
        early, late = start + day * _DAY, start + (day + 1) * _DAY
        if _offset(zone, early) != _offset(zone, late):
            yield _turn(zone, early, late)


def _next_of(pattern: WallPattern, zone: ZoneInfo, gap: Gap, last: bool, moment: datetime) -> datetime | None:
    wall = pattern.upcoming(_earliest(zone, last, moment))
    while wall is not None:
        early, late = _occurrences(wall, zone)
        if early <= late:
            return late if last else early
        turn = _turn(zone, late, early)
        if gap == "shift":
            return turn.moment
        wall = pattern.upcoming(turn.after)
    return None


def _earliest(zone: ZoneInfo, last: bool, moment: datetime) -> datetime:
    """The earliest whole second on the wall whose first (or last) occurrence is after the moment."""
    local = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    early, late = _occurrences(local, zone)
    if early < late:
        turn = _turn(zone, early, late)
        if last and moment < turn.moment:
            return turn.after
        if not last and moment >= turn.moment:
            return turn.before
    return local.replace(microsecond=0) + _SECOND


def _occurrences(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Both readings of a wall time: equal as a rule, in order in a fold, reversed (and on other wall times) in a gap."""
    return (
        wall.replace(tzinfo=zone, fold=0).astimezone(UTC),
        wall.replace(tzinfo=zone, fold=1).astimezone(UTC),
    )


def _turn(zone: ZoneInfo, early: datetime, late: datetime) -> Turn:
    """The one change of the clock in (early, late], found by halving to the second."""
    before, after = _offset(zone, early), _offset(zone, late)
    early, moment = early.replace(microsecond=0), late.replace(microsecond=0)
    while moment - early > _SECOND:
        middle = early + (moment - early) // _SECOND // 2 * _SECOND
        early, moment = (middle, moment) if _offset(zone, middle) == before else (early, middle)
    return Turn(moment, (moment + before).replace(tzinfo=None), (moment + after).replace(tzinfo=None))


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()
