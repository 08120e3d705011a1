"""Each call does a bounded amount of work, and what is left over is done by the next one."""

from __future__ import annotations

import pytest

from shards import LEASE, Shard

PROMOTED, GIVEN, PURGED = 250, 100, 500


def waiting(shard: Shard) -> int:
    """How many jobs wait to be delivered."""
    counts = shard.client.hgetall(shard.key("counts"))
    return sum(int(value) for name, value in counts.items() if name.startswith(b"pending:"))


def owned(shard: Shard, owner: str) -> int:
    """How many deliveries of level 5 a consumer owns."""
    return len(shard.client.xpending_range(shard.key("ready:5"), "workers", "-", "+", 2_000, owner))


def test_a_call_promotes_at_most_250_due_jobs(shard: Shard) -> None:
    consumer = shard.register()
    shard.enqueue(*["5:2", "mail", "x", "delay", 10] * 600)
    shard.now += 10
    seen = []
    for _ in range(3):
        shard.take(consumer, 0)
        seen.append(waiting(shard))
    assert seen == [PROMOTED, 2 * PROMOTED, 600]


def test_a_call_takes_at_most_100_deliveries_from_a_dead_consumer_and_the_next_ones_go_on(
    shard: Shard,
) -> None:
    consumer = shard.register()
    shard.enqueue(*["5", "mail", "x"] * 250)
    assert len(shard.take(consumer, 250)) == 250
    assert shard.call("abandon", consumer, "shared", 0) == GIVEN
    assert (owned(shard, "lost"), owned(shard, consumer)) == (GIVEN, 150)
    assert [shard.call("recover") for _ in range(3)] == [GIVEN, 50, 0]
    assert (owned(shard, "lost"), owned(shard, consumer)) == (250, 0)
    assert shard.client.hexists(shard.key("consumers"), consumer) is False


@pytest.mark.parametrize("ending", ["expired", "cancelled"])
def test_a_take_that_met_only_jobs_that_had_ended_says_to_come_again_at_once(
    shard: Shard, ending: str
) -> None:
    consumer, pairs = shard.register(), ["expires", "1"] if ending == "expired" else ["tags", "t"]
    ended = shard.enqueue(*["5:2", "mail", "x", *pairs] * 100)
    (live,) = shard.enqueue("5", "mail", "live")
    if ending == "cancelled":
        for entry in ended:
            assert shard.call("cancel", f"5-{entry}") == b"CANCELLED"
    shard.now += 10
    first = shard.call("take", consumer, 0, 1, 0)
    given, sleep = first[9], first[4]
    assert (given, sleep) == ([], 1)
    assert [row[0].decode() for _, row in shard.take(consumer, 1)] == [live]


def test_a_lease_that_ends_over_many_deliveries_is_recovered_in_parts(shard: Shard) -> None:
    consumer = shard.register()
    shard.enqueue(*["5", "mail", "x"] * 150)
    shard.take(consumer, 150)
    for _ in range(4):
        shard.now += LEASE // 3
        moved = shard.call("recover")
    assert moved == GIVEN
    assert shard.call("recover") == 50


def test_a_purge_removes_at_most_500_jobs_a_step_and_spares_what_came_later(shard: Shard) -> None:
    for _ in range(2):
        shard.enqueue(*["5", "mail", "x"] * 600)
    first = shard.call("purge", "pending", "-", "0")
    assert (first[0], waiting(shard)) == (PURGED, 700)
    shard.enqueue("5", "mail", "later")
    cursor, bound, steps = first[1], first[2], 0
    while cursor:
        removed, cursor, bound = shard.call("purge", "pending", cursor, bound)
        assert removed <= PURGED
        steps += 1
        assert steps < 20
    assert waiting(shard) == 1
    ((_, row),) = shard.take(shard.register(), 10)
    assert row[1:] == (b"mail", b"later")


def test_the_lag_of_the_group_is_known_after_a_purge(shard: Shard) -> None:
    consumer = shard.register()
    shard.enqueue(*["5", "mail", "x"] * 20)
    shard.take(consumer, 5)
    shard.call("purge", "pending", "-", "0")
    shard.enqueue("5", "mail", "x", "5", "mail", "x")
    (group,) = shard.client.xinfo_groups(shard.key("ready:5"))
    assert group["lag"] == 2


def test_a_page_of_a_list_has_at_most_what_was_asked_for_and_goes_on_where_it_ended(shard: Shard) -> None:
    entries = shard.enqueue(*["5", "mail", "x"] * 7, *["1", "mail", "y"] * 3)
    seen, start = [], "-"
    while start:
        start, *rows = shard.call("list", "pending", start, 4)
        assert len(rows) <= 4
        seen += [row[0].decode() for row in rows]
    assert seen == [f"5-{entry}" for entry in entries[:7]] + [f"1-{entry}" for entry in entries[7:]]


def test_a_thousand_jobs_live_and_end_in_six_calls(shard: Shard) -> None:
    consumer = shard.register()
    shard.enqueue(*["5", "mail", "x"] * 1_000)
    for _ in range(2):
        rows = shard.take(consumer, 500)
        entries = [row[0] for _, row in rows]
        assert len(entries) == 500
        shard.call("finish", consumer, 0, "ok", "5", len(entries), "500 done", *entries)
    assert shard.client.hget(shard.key("counts"), "completed") == b"1000"
    assert shard.client.xlen(shard.key("ready:5")) == 0


def test_a_minute_of_many_tasks_is_read_whole(shard: Shard) -> None:
    for part in range(10):
        shard.call("report", *[word for n in range(1_000) for word in (f"run:task_{part}:{n}", 1)])
    minute = shard.now // 60_000
    [[found, *counts]] = shard.call("minutes", minute, minute)
    assert (int(found), len(counts)) == (minute, 20_000)
