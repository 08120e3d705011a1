"""What may surprise in a timetable: a sentence for each thing, for ``streamq schedule lint`` and for people."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from streamq.schedules.clock import DAY, Fields, Spread, Times, clock_words, length_words
from streamq.schedules.days import ALL_WEEKDAYS, Days
from streamq.schedules.walltime import DstPolicy, Turn, WallPattern, turns
from streamq.schedules.wording import WORKDAYS

__all__ = ["lint_changes", "lint_days", "lint_fields", "lint_pace", "lint_zone"]

_YEAR: Final = 366  # days: one year of changes of the clock
_RUNS_IN_FOLD: Final = {
    "first": "runs the first time",
    "last": "runs the last time",
    "both": "runs both times",
}
_LENGTHS: Final = tuple((month, monthrange(2001, month)[1]) for month in range(1, 13))
_STEP: Final = re.compile(r"\*/(\d+)", re.ASCII)
_MISLEADING: Final = frozenset({"EST", "MST", "HST"})


def lint_days(days: Days) -> Iterator[str]:
    """Days that not every month, or not every year, has."""
    if any(not rule.nth for rule in days.rules):
        return
    dates = {rule.nth for rule in days.rules if rule.among == ALL_WEEKDAYS}
    if days.months == {2} and dates == {29}:
        yield "fires 29 February only: in leap years"
    elif (
        dates
        and dates <= {29, 30, 31}
        and days.months & {month for month, length in _LENGTHS if length < max(dates)}
    ):
        yield f"not every month has a day {max(dates)}: the shorter ones are left out; 'last day' is in all"
    if any(rule.nth == 5 and rule.among not in (ALL_WEEKDAYS, WORKDAYS) for rule in days.rules):
        yield "not every month has a fifth one: the others are left out; 'last' is in all"


def lint_fields(cron: str, times: Times) -> Iterator[str]:
    """Traps of cron: uneven steps, seconds, and two fields that both choose days."""
    if isinstance(times, Spread):
        if DAY % times.step and (times.first, times.last) == (0, DAY - 1):
            yield f"every {length_words(times.step)} does not divide the day: it begins anew at midnight"
        return
    fields = cron.split()
    if not fields:
        return
    if len(fields) == 6:
        yield "has six fields: the first one is the second"
    for name, size, field in zip(
        ("hours", "minutes", "seconds"), (24, 60, 60), reversed(fields[:-3]), strict=False
    ):
        step = _STEP.fullmatch(field)
        if step is not None and size % int(step[1]):
            said = f"every {step[1]} {name}"
            yield f"{said} in cron is uneven: it begins anew at 0 (say '{said}' for an even interval)"
    day, weekday = fields[-3], fields[-1]
    if "*" not in (day[0], weekday[0]) and "?" not in (day, weekday):
        yield f"day {day} and weekday {weekday} are both given: cron runs when either fits"


def lint_pace(times: Times) -> Iterator[str]:
    """Timetables that fire several times a minute."""
    count = len(times.seconds) if isinstance(times, Fields) else 1
    if isinstance(times, Spread) and times.step < 60:
        count = 60 // times.step
    if count > 1:
        yield f"fires {count} times a minute"


def lint_zone(zone: str, moment: datetime) -> Iterator[str]:
    """Names that look as if they had daylight saving, and have not."""
    if zone in _MISLEADING:
        offset = moment.astimezone(ZoneInfo(zone)).strftime("%z")
        yield f"{zone} is UTC{offset[:3]}:{offset[3:]} all year: did you mean a place, as America/New_York?"


def lint_changes(pattern: WallPattern, zone: ZoneInfo, policy: DstPolicy, moment: datetime) -> Iterator[str]:
    """The wanted times that changes of the clock in the coming year skip or repeat, and what the policy does."""
    for turn in turns(zone, moment, _YEAR):
        low, high = sorted((turn.before, turn.after))
        wanted = pattern.upcoming(low)
        if wanted is not None and wanted < high:
            yield (
                _skipped(wanted, turn, zone, policy)
                if turn.after > turn.before
                else _repeated(wanted, zone, policy)
            )


def _skipped(wall: datetime, turn: Turn, zone: ZoneInfo, policy: DstPolicy) -> str:
    then = f"shifted to {_clock(turn.after)}" if policy.gap == "shift" else "skipped"
    return f"{_clock(wall)} does not exist on {wall.date()} in {zone.key}: {then}"


def _repeated(wall: datetime, zone: ZoneInfo, policy: DstPolicy) -> str:
    return f"{_clock(wall)} happens twice on {wall.date()} in {zone.key}: {_RUNS_IN_FOLD[policy.fold]}"


def _clock(wall: datetime) -> str:
    return clock_words(
        timedelta(hours=wall.hour, minutes=wall.minute, seconds=wall.second) // timedelta(seconds=1)
    )
