"""Zones against the oracle: around each change of their clocks by every policy, and all days of the years by cronsim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import get_args
from zoneinfo import ZoneInfo

from schedules.oracle import Offsets, cronsim_in_zone, expected
from streamq.schedules import DstPolicy, Fold, Gap, Timetable, parse

POLICIES = [DstPolicy(gap, fold) for gap, fold in product(get_args(Gap), get_args(Fold))]
FIXED = ["30 2 * * *", "0 0 * * *", "*/20 0-3,23 * * *", "15 */2 * * *", "30 1,23 1-31 * 0,6"]
HOURLY = ["15 * * * *", "*/20 * * * 1-5,0,6"]
DAILY = "30 2 * * *"
AROUND = timedelta(days=1)
WALL_CLOCK = DstPolicy("skip", "both")


@dataclass(slots=True)
class Report:
    """What was compared, and what differed."""

    zones: int = 0
    alike: int = 0
    turns: int = 0
    fires: int = 0
    differences: list[str] = field(default_factory=list)
    clocks: set[tuple[object, ...]] = field(default_factory=set)

    def compare(self, what: str, ours: list[datetime], theirs: list[datetime]) -> None:
        """Counts the moments, and notes what only one side has, or what comes twice."""
        self.fires += len(theirs)
        if ours != theirs:
            extra, missing = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
            doubled = len(ours) - len(set(ours))
            self.differences.append(f"{what}: extra {extra[:3]}, missing {missing[:3]}, doubled {doubled}")


def compare_zone(report: Report, name: str, years: tuple[int, int], every: bool = False) -> None:
    """One zone, from the beginning of the first year to the end of the last; those with the same clock only once, unless
    ``every`` says otherwise."""
    start, end = datetime(years[0], 1, 1, tzinfo=UTC), datetime(years[1] + 1, 1, 1, tzinfo=UTC)
    zone = ZoneInfo(name)
    offsets = Offsets(zone, start - 4 * AROUND, end + 4 * AROUND)
    report.zones += 1
    if offsets.clock in report.clocks and not every:
        report.alike += 1
        return
    report.clocks.add(offsets.clock)
    for turn in offsets.turns:
        report.turns += 1
        _compare_turn(report, name, offsets, turn)
    ours = list(fires(parse(DAILY, zone=name), start, end))
    report.compare(f"{name} {DAILY} by cronsim", ours, cronsim_in_zone(DAILY, zone, start, end))


def fires(timetable: Timetable, start: datetime, end: datetime) -> Iterator[datetime]:
    """The fire times after ``start`` and before ``end``."""
    moment = timetable.after(start)
    while moment is not None and moment < end:
        yield moment
        moment = timetable.after(moment)


def _compare_turn(report: Report, name: str, offsets: Offsets, turn: datetime) -> None:
    start, end = turn - AROUND, turn + AROUND
    for expression, policy in product(FIXED, POLICIES):
        ours = fires(parse(expression, name, gap=policy.gap, fold=policy.fold), start, end)
        theirs = expected(expression, offsets, policy, start, end)
        report.compare(f"{name} {expression} {policy}", list(ours), theirs)
    for expression in HOURLY:
        ours = list(fires(parse(expression, name), start, end))
        report.compare(f"{name} {expression}", ours, expected(expression, offsets, WALL_CLOCK, start, end))
        report.compare(
            f"{name} {expression} by cronsim", ours, cronsim_in_zone(expression, offsets.zone, start, end)
        )
