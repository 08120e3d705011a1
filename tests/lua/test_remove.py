"""A queue that nobody needs goes away whole; one that somebody needs stays whole."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from shards import LEASE, Shard


def use(shard: Shard) -> None:
    """Jobs that ended in many ways, some with results that are kept, and a worker that has left."""
    consumer = shard.register()
    shard.enqueue("5", "mail", "a", "3:4", "mail", "b", "tags", "red", "unique", "key", "1", "mail", "c")
    for level, row in shard.take(consumer, 2):
        shard.call("finish", consumer, 0, "done", level, row[0], 4, "result", "r", "ttl", 90_000)
    shard.call("purge", "pending", "-", "0")
    (tomb,) = shard.enqueue("1", "mail", "t")
    shard.call("cancel", f"1-{tomb}")
    shard.call("enqueue", "p" * 22, "0", "7", "2:2", "mail", "once", "delay", 5)
    shard.call("purge", "delayed", "-", "0")
    shard.call("report", "done", 1)
    shard.call("retire", consumer)


def clear(shard: Shard) -> None:
    """End every job that is left, and the workers."""
    for consumer in shard.client.hkeys(shard.key("consumers")):
        shard.call("retire", consumer)
    taker = shard.register()
    while found := shard.take(taker, 100, isolate=100):
        for level, row in found:
            shard.call("finish", taker, 0, "done", level, row[0], 2, "result", "r")
    for what in ("delayed", "suspended", "dead", "gated"):
        shard.call("purge", what, "-", "0")
    for name in shard.client.zrange(shard.key("schedules"), 0, -1):
        shard.call("schedule_remove", name, 1)
    for flow in shard.client.zrange(shard.key("flows"), 0, -1):
        shard.call("flow_cancel", flow, "-")
    shard.call("retire", taker)


def test_what_is_left_of_a_removed_queue_ends_by_itself(shard: Shard) -> None:
    use(shard)
    assert shard.call("remove") == 1
    assert shard.client.exists(shard.key("meta")) == 0
    assert all(ends for _, ends in shard.picture().values())
    assert shard.call("remove") == 0
    assert dict(zip(*[iter(shard.call("stats"))] * 2, strict=True))[b"enqueued"] == b"0"


def test_a_queue_with_jobs_of_any_kind_can_be_removed_when_all_have_ended(full_shard: Shard) -> None:
    with pytest.raises(
        redis.ResponseError,
        match="^STATE the queue has jobs: 7 pending or active, 2 waiting, 3 delayed, 1 dead",
    ):
        full_shard.call("remove")
    clear(full_shard)
    assert full_shard.call("remove") == 1
    assert all(ends for _, ends in full_shard.picture().values())


JOBS: dict[str, list[Any]] = {
    "pending": ["5", "mail", "x"],
    "delayed": ["5:2", "mail", "x", "delay", 60_000],
    "active": ["5", "mail", "x"],
    "dead": ["5", "mail", "x"],
}


@pytest.mark.parametrize("state", JOBS)
def test_a_queue_with_one_job_stays_as_it_is(shard: Shard, state: str) -> None:
    consumer = shard.register()
    shard.enqueue(*JOBS[state])
    if state in ("active", "dead"):
        ((level, row),) = shard.take(consumer, 1)
        if state == "dead":
            shard.call("finish", consumer, 0, "dead", level, row[0], 2, "error", "E: x")
        else:
            shard.now += 2 * LEASE
    picture = shard.picture()
    with pytest.raises(redis.ResponseError, match=r"^STATE the queue has jobs: .*\b1 "):
        shard.call("remove")
    assert shard.picture() == picture


def test_a_queue_with_a_schedule_stays_as_it_is(shard: Shard) -> None:
    pairs = ("expression", "every hour", "task", "mail", "level", "5", "body", "x")
    shard.call("schedule_put", "hourly", "api", shard.now + 1, shard.now + 1, len(pairs), *pairs)
    picture = shard.picture()
    with pytest.raises(redis.ResponseError, match="^STATE the queue has 1 schedule;"):
        shard.call("remove")
    assert shard.picture() == picture


def test_a_strangers_entry_is_a_job_too(shard: Shard) -> None:
    shard.call("pause", "")
    shard.client.xadd(shard.key("ready:7"), {"mail": "foreign"})
    with pytest.raises(redis.ResponseError, match="^STATE the queue has jobs: 1 pending"):
        shard.call("remove")


def test_a_living_worker_keeps_its_queue_and_a_dead_one_does_not(shard: Shard) -> None:
    consumer = shard.register()
    with pytest.raises(redis.ResponseError, match="^STATE 1 worker serves the queue; stop them"):
        shard.call("remove")
    shard.now += LEASE
    assert shard.call("remove") == 1
    assert shard.call("take", consumer, 0, 1, 0)[0] == b"unknown", "so it registers anew when it comes back"


def test_ids_and_fences_of_a_queue_that_comes_again_go_on(shard: Shard) -> None:
    shard.client.xadd(shard.key("ready:5"), {"mail": "foreign"}, id=f"{shard.now + 10_000}-7")
    consumer = shard.register()
    shard.enqueue("5", "mail", "x")
    taken = shard.take(consumer, 10)
    last, fence = max(row[0] for _, row in taken), int(shard.call("take", consumer, 0, 0, 0)[3])
    shard.call("finish", consumer, 0, "ok", "5", 2, "", *[row[0] for _, row in taken])
    shard.call("retire", consumer)
    assert shard.call("remove") == 1
    (entry,) = shard.enqueue("5", "mail", "x")
    assert entry.encode() > last
    assert int(shard.register().removeprefix("c")) > fence


def test_a_call_that_is_repeated_after_the_removal_adds_nothing(shard: Shard) -> None:
    call = ["p" * 22, "0", "1", "5", "mail", "x"]
    answer = shard.call("enqueue", *call)
    consumer = shard.register()
    ((level, row),) = shard.take(consumer, 1)
    shard.call("finish", consumer, 0, "ok", level, 1, "", row[0])
    shard.call("retire", consumer)
    assert shard.call("remove") == 1
    assert shard.call("enqueue", *call) == answer
    assert shard.take(shard.register(), 1) == []
