"""Journals and waits of jobs that have a lane or a deadline."""

from __future__ import annotations

from typing import Any

from shards import Shard


def stats(shard: Shard) -> dict[str, str]:
    flat = [part.decode() if isinstance(part, bytes) else str(part) for part in shard.call("stats")]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def is_balanced(shard: Shard) -> bool:
    switches = shard.client.hmget(shard.key("meta"), "journals", "suspended")
    journals = list(shard.client.scan_iter("*:steps:*"))
    counted = [len(journals), shard.client.zcard(shard.key("suspended"))]
    return shard.call("conservation")[0] == 0 and [int(count or 0) for count in switches] == counted


def job_of(row: Any) -> str:
    name = row[2][0] if row[1] == b"@" else row[1].split()[0]
    return str(name.decode())


def take(shard: Shard, consumer: str) -> tuple[tuple[str, str, str], ...]:
    """The deliveries as level, entry and job."""
    return tuple((level, row[0].decode(), job_of(row)) for level, row in shard.take(consumer, 9))


def test_the_journal_of_a_plain_job_of_a_lane_goes_when_that_completes_in_bulk(shard: Shard) -> None:
    consumer = shard.register()
    shard.enqueue("5:2", "mail", "a", "lane", "api", "5:2", "mail", "b", "lane", "api")
    deliveries = take(shard, consumer)
    assert [level for level, _, _ in deliveries] == ["l", "l"]
    for delivery in deliveries:
        assert shard.call("journal", consumer, 0, *delivery, "step one", "x") == 1
    entries, jobs = [entry for _, entry, _ in deliveries], [job for _, _, job in deliveries]
    shard.call("finish", consumer, 0, "ok", "l", 2, "", *entries, *jobs)
    assert list(shard.client.scan_iter("*:steps:*")) == []
    assert (is_balanced(shard), stats(shard)["completed"]) == (True, "2")


def test_a_job_of_a_lane_that_waits_frees_its_slot_and_comes_back_through_its_lane(shard: Shard) -> None:
    shard.call("limit_set", "api", "slots=1", "anna")
    consumer = shard.register()
    shard.enqueue("5:2", "mail", "a", "lane", "api", "5:2", "mail", "b", "lane", "api")
    ((level, entry, first),) = take(shard, consumer)
    shard.call("await", consumer, 0, level, entry, first, "signal", "go", "-", "failed")
    settled = ("wait", level, entry, 2, "for", "signal go")
    shard.call("finish", consumer, 0, *settled)
    ((level, entry, second),) = take(shard, consumer)
    assert second != first
    assert shard.call("signal", first, "go", "x") == b"SENT"
    assert take(shard, consumer) == (), "the slot is taken"
    assert (is_balanced(shard), stats(shard)["waiting"]) == (True, "1")
    shard.call("finish", consumer, 0, "ok", level, 1, "", entry, second)
    ((level, entry, again),) = take(shard, consumer)
    assert (level, again) == ("l", first)
    assert shard.call("recall", consumer, 0, level, entry, first)[:2] == [b"signal go", b"x"]
    shard.call("finish", consumer, 0, "done", level, entry, 0)
    assert (is_balanced(shard), stats(shard)["completed"]) == (True, "2")


def test_a_job_that_waits_past_its_deadline_is_let_go_then(shard: Shard) -> None:
    consumer = shard.register()
    (entry,) = shard.enqueue("5:2", "mail", "a", "within", 5_000)
    ((level, entry, job),) = take(shard, consumer)
    shard.call("await", consumer, 0, level, entry, job, "signal", "go", "-", "failed")
    shard.call("finish", consumer, 0, "wait", level, entry, 2, "for", "signal go")
    assert b"it must be finished in 5.0 s" in shard.call("explain", job)
    shard.now += 5_000
    assert (take(shard, consumer), stats(shard)["waiting"]) == ((), "1")
    shard.now += 1
    assert take(shard, consumer) == ()
    assert (stats(shard)["waiting"], stats(shard)["expired"], is_balanced(shard)) == ("0", "1", True)
