"""The short form of the simulation of lanes, and what needs a scene of its own: shares, waiting times, turns, closed lanes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from lanes.campaign import run_seeds
from lanes.plants import PLANTS
from servers import KINDS, Server
from shards import Shard
from simulation.library import source
from streamq.library import library

SHORT = 150  # steps
QUICKLY_SEEN = (
    "costs are not charged",
    "slots are not freed",
    "no timer for a bucket",
    "deep lanes are turned round",
)


@pytest.fixture
def shard(server: Server, anchor: str) -> Shard:
    """An empty shard on a server with the library."""
    server.raw.function_load(library().source)
    return Shard(server.raw, anchor)


@pytest.mark.parametrize("kind", KINDS)
def test_limits_order_and_promptness_hold_and_every_job_ends(kind: str) -> None:
    assert [broken for _, broken, _ in run_seeds(kind, range(8), steps=SHORT)] == [""] * 8


@pytest.mark.parametrize("plant", QUICKLY_SEEN)
def test_a_rule_of_lanes_that_is_switched_off_is_seen(plant: str) -> None:
    assert any(broken for _, broken, _ in run_seeds("valkey", range(6), PLANTS[plant], steps=SHORT))


def test_every_bug_planted_into_lanes_still_has_its_place() -> None:
    assert all(source(edit) for edit in PLANTS.values())


def given(shard: Shard, consumer: str, n: int) -> list[tuple[str, str, str]]:
    """Job, entry and lane of each lane job of a take, which also settles them as completed."""
    rows = [
        (row[1].decode().split(" "), row[0].decode())
        for level, row in shard.take(consumer, n)
        if level == "l"
    ]
    found = [(job, entry, lane) for (job, _, lane, *_), entry in rows]
    if found:
        shard.take(
            consumer, 0, "ok", "l", len(found), "", *(one[1] for one in found), *(one[0] for one in found)
        )
    return found


def turns(shard: Shard, n: int, jobs: int) -> Iterator[str]:
    """The lanes of so many jobs, taken by n."""
    consumer, left = shard.register(), jobs
    while left > 0:
        found = given(shard, consumer, min(n, left))
        left -= len(found)
        yield from (lane for _, _, lane in found)


@pytest.mark.parametrize("n", [1, 7, 100])
@pytest.mark.parametrize("bucket", ["", "|api"])
def test_shares_are_as_the_weights_say(shard: Shard, n: int, bucket: str) -> None:
    weights = {"tenant:a": 1, "tenant:b": 2, "tenant:c": 5}
    words = [part for key, weight in weights.items() for part in (key, f"weight={weight}")]
    shard.call("limit_declare", "api", "rate=1000000 burst=1000000", *words)
    for key in weights:
        shard.enqueue("5=1000", "task", key + bucket, *["body"] * 1000)
    shares = Counter(turns(shard, n, 800))
    for key, weight in weights.items():
        assert shares[key + bucket] == pytest.approx(100 * weight, rel=0.05)


def test_who_leaves_and_comes_back_gains_nothing(shard: Shard) -> None:
    shard.enqueue("5=500", "task", "tenant:steady", *["body"] * 500)
    consumer, shares = shard.register(), Counter[str]()
    for _ in range(100):
        shard.enqueue("5=2", "task", "tenant:flighty", "body", "body")
        shares.update(lane for _, _, lane in given(shard, consumer, 4))
    assert shares["tenant:flighty"] == pytest.approx(200, rel=0.05)


@pytest.mark.parametrize("backlog", [1_000, 20_000])
def test_a_small_tenant_does_not_wait_for_a_big_ones_backlog(shard: Shard, backlog: int) -> None:
    for start in range(0, backlog, 1_000):
        shard.enqueue("5=1000", "task", "tenant:big", *[str(start)] * 1_000)
    consumer = shard.register()
    given(shard, consumer, 50)
    shard.enqueue("5=1", "task", "tenant:small", "body")
    lanes = [lane for _ in range(4) for _, _, lane in given(shard, consumer, 1)]
    assert lanes.index("tenant:small") <= 2


def test_who_waits_for_a_limit_goes_before_who_comes_later(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("limit_declare", "api", "rate=10 burst=1")
    shard.enqueue("5=2", "task", "tenant:first|api", "body", "body")
    assert [lane for _, _, lane in given(shard, consumer, 1)] == ["tenant:first|api"]
    assert given(shard, consumer, 1) == []
    shard.enqueue("5=1", "task", "tenant:later|api", "body")
    shard.now += 100
    assert [lane for _, _, lane in given(shard, consumer, 1)] == ["tenant:first|api"]


def test_a_job_that_costs_less_and_comes_to_stand_first_does_not_wait_for_the_tokens_of_the_other(
    shard: Shard,
) -> None:
    consumer = shard.register()
    shard.call("limit_declare", "api", "rate=10 burst=100")
    shard.enqueue("5=1", "task", "api* 1", "cheap")
    [(level, row)] = shard.take(consumer, 1)
    shard.enqueue("5=1", "task", "api* 100", "dear", "5=1", "task", "api* 100", "dear")
    shard.call("limit_spent", "api", -1)
    assert len(given(shard, consumer, 1)) == 1
    assert shard.take(consumer, 1) == []
    shard.take(consumer, 0, "snooze", level, row[0], 2, "delay", 100)
    shard.now += 100
    assert shard.call("take", consumer, 0, 1, 0)[9][0] == b"l"


def test_an_expensive_job_is_not_starved_by_cheap_ones(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("limit_declare", "api", "rate=10 burst=10")
    shard.enqueue("5=1", "task", "tenant:dear|api* 10", "body")
    shard.enqueue("5=50", "task", "tenant:cheap|api* 1", *["body"] * 50)
    lanes: list[str] = []
    for _ in range(40):
        lanes += [lane for _, _, lane in given(shard, consumer, 1)]
        shard.now += 100
    assert "tenant:dear|api*" in lanes[:12]


def test_a_take_beside_closed_lanes_asks_what_it_asks_on_an_empty_queue(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("limit_declare", "tenant:*", "rate=0 burst=1")
    given(shard, consumer, 1)
    empty = commands(shard, consumer)
    for start in range(0, 1_000, 100):
        shard.enqueue(
            *(
                part
                for i in range(start, start + 100)
                for part in ("5=2", "task", f"tenant:{i}", "body", "body")
            )
        )
    while given(shard, consumer, 100) or shard.call("take", consumer, 0, 100, 0)[4] == 1:
        pass
    assert commands(shard, consumer) == empty


def commands(shard: Shard, consumer: str) -> int:
    """How many commands the server executes for a take of nothing."""
    shard.client.config_resetstat()
    shard.take(consumer, 100)
    stats = shard.client.info("commandstats")
    return sum(
        int(row["calls"])
        for name, row in stats.items()
        if name not in ("cmdstat_info", "cmdstat_config|resetstat")
    )


def test_a_lane_by_deadline_gives_the_earliest_first(shard: Shard) -> None:
    consumer = shard.register()
    for deadline in (5_000, 1_000, 9_000, 3_000):
        shard.enqueue("5:4", "task", str(deadline), "lane", "!", "deadline", shard.now + deadline)
    order = [row[2][2].decode() for _ in range(4) for _, row in shard.take(consumer, 1)]
    assert order == ["1000", "3000", "5000", "9000"]


def test_a_full_quota_refuses_or_drops_and_counts_what_leaves(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("limit_declare", "tenant:a", "most=3", "tenant:b", "most=3 over=drop")
    shard.enqueue("5=3", "task", "tenant:a", "1", "2", "3")
    with pytest.raises(Exception, match=r"^FULL tenant:a \d+ jobs: 3 of at most 3 wait"):
        shard.enqueue("5=1", "task", "tenant:a", "4")
    shard.enqueue("5=5", "task", "tenant:b", "1", "2", "3", "4", "5")
    bodies = {row[2].decode() for _, row in shard.take(consumer, 10) if b"tenant:b" in row[1]}
    assert bodies == {"3", "4", "5"}
    assert shard.call("conservation")[0] == 0
    assert b"tenant:a" not in shard.client.hkeys(shard.key("state"))
