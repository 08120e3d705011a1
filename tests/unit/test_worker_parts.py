"""The pure parts of a worker: how many jobs it asks for, its histograms, its page."""

from __future__ import annotations

import random
import time

import pytest
from structlog.testing import capture_logs

from streamq.events import Observers
from streamq.worker.appetite import Appetite, GroupAppetite
from streamq.worker.notices import Notices
from streamq.worker.page import Page
from streamq.worker.statistics import BUCKETS, Tally, bucket_of, quantile


def test_nothing_is_taken_ahead_before_the_pace_is_known() -> None:
    appetite = Appetite(0.0)
    assert appetite.missing(free=10, waiting=0) == 10
    assert appetite.missing(free=10, waiting=7) == 3
    assert appetite.missing(free=0, waiting=0) == 0


def test_fast_jobs_are_taken_in_hundreds_and_slow_ones_are_not_hoarded() -> None:
    fast, slow = Appetite(0.0), Appetite(0.0)
    fast.finished(1000, now=0.01)
    slow.finished(1, now=2.0)
    assert fast.missing(free=0, waiting=0) == 500
    assert slow.missing(free=0, waiting=0) == 0
    assert slow.missing(free=4, waiting=0) == 4


def test_a_round_trip_is_made_when_half_of_the_wanted_are_missing() -> None:
    appetite = Appetite(0.0)
    assert appetite.worth_asking(free=10, waiting=5)
    assert not appetite.worth_asking(free=10, waiting=6)
    assert not appetite.worth_asking(free=0, waiting=0)


class Gathered:
    """Members of batches of 100, of which so many wait."""

    def __init__(self, share: float, waiting: int) -> None:
        self.share, self.waiting = share, waiting

    def room(self, free: int) -> int:
        return free * 100 - self.waiting


def test_where_all_jobs_are_of_batches_a_slot_takes_a_group() -> None:
    appetite = GroupAppetite(0.0, Gathered(1, 0))
    assert appetite.missing(free=3, waiting=0) == 300
    assert appetite.missing(free=9, waiting=0) == 500
    assert appetite.missing(free=0, waiting=0) == 0
    almost = GroupAppetite(0.0, Gathered(1, 98))
    assert almost.worth_asking(free=1, waiting=98)
    assert almost.missing(free=1, waiting=98) == 2
    assert not almost.worth_asking(free=0, waiting=98)


def test_other_jobs_are_not_hoarded_for_the_sake_of_batches() -> None:
    appetite = GroupAppetite(0.0, Gathered(0.5, 0))
    assert appetite.missing(free=3, waiting=0) == 6
    assert GroupAppetite(0.0, Gathered(0.99, 0)).missing(free=3, waiting=0) == 24
    assert GroupAppetite(0.0, Gathered(0, 0)).missing(free=3, waiting=0) == 3
    others_wait = GroupAppetite(0.0, Gathered(0.5, 40))
    assert others_wait.missing(free=3, waiting=43) == 0
    assert others_wait.missing(free=3, waiting=1040) == 0


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
def test_a_quantile_is_within_seven_percent(q: float) -> None:
    chance = random.Random(7)
    values = sorted(int(chance.lognormvariate(8, 2)) for _ in range(10_000))
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    assert quantile(counts.items(), q) == pytest.approx(values[int(q * len(values))], rel=0.07)


@pytest.mark.parametrize("us", [-1, -(10**19), 2**63, 10**22])
def test_a_duration_that_cannot_be_is_counted_at_the_end_that_is_nearest(us: int) -> None:
    assert bucket_of(us) == (0 if us < 0 else BUCKETS - 1)


def test_counts_are_told_once() -> None:
    tally = Tally("send")
    tally.single("completed", 0.001)
    tally.single("dead", 0.001)
    told = dict(tally.drain(0.0))
    assert told["ended:send:completed"] == told["ended:send:dead"] == 1
    assert told[f"run:send:{bucket_of(1000)}"] == 2
    assert tally.drain(0.0) == []


def test_a_page_says_what_runs_until_when_and_under_which_ids() -> None:
    page = Page([4, 2])
    section, other = page.sections
    cells = [section.cell() for _ in range(3)]
    cells[0].start(b"5-1732448000000-0")
    cells[0].until(time.monotonic() + 9)
    cells[1].start(b"9-7-1")
    assert sorted(section.started()) == ["5-1732448000000-0", "9-7-1"]
    assert page.earliest_deadline() == pytest.approx(time.monotonic() + 9, abs=1)
    cells[0].close()
    assert section.started() == ["9-7-1"]
    assert page.earliest_deadline() == float("inf")
    assert other.started() == []
    section.enroll("c1", 5.0)
    section.enroll("c2", 6.0)
    section.mark_renewed("c1", 7.0)
    section.connected("c2", 4)
    assert section.entitled() == [("c1", 7.0, 0), ("c2", 6.0, 4)]
    section.strike("c1")
    assert [entitled.id for entitled in section.entitled()] == ["c2"]
    assert section.renewed("c1") == 0.0


def test_a_connection_that_stays_away_is_said_at_once_and_then_with_a_count() -> None:
    with capture_logs() as lines:
        notices = Notices("default", Observers(), debugs=False)
        for now in (100.0, 101.0, 103.0, 129.0, 131.0, 132.0):
            notices.lost(ConnectionError("away"), now)
    assert [line["times"] for line in lines] == [1, 4]
