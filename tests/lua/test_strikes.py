"""Strikes on a shard, with time in our hands: what is put aside comes back, whatever becomes of the strike."""

from __future__ import annotations

from typing import Any

import pytest

from shards import Shard

FREED = 250
DAY = 86_400_000


def balance(shard: Shard) -> int:
    found: int = shard.call("conservation")[0]
    return found


def stats(shard: Shard) -> dict[str, str]:
    reply = [part.decode() for part in shard.call("stats")]
    return dict(zip(reply[::2], reply[1::2], strict=True))


def put_aside(shard: Shard, consumer: str, count: int, strike: str = "s1") -> list[str]:
    """Enqueue jobs, take them, hand them back for a strike; their ids."""
    entries = shard.enqueue(f"5*{count}" if count > 1 else "5", "mail", *["x"] * count)
    taken = shard.take(consumer, count)
    settlements: list[Any] = []
    for level, row in taken:
        settlements += ["strike", level, row[0], 2, "reason", strike]
    shard.take(consumer, 0, *settlements)
    return [f"5-{entry}" for entry in entries]


def names(rows: list[tuple[str, Any]]) -> list[str]:
    """The jobs of rows with records."""
    return [row[2][0].decode() for _, row in rows]


def explained(shard: Shard, job: str) -> str:
    return "\n".join(part.decode() for part in shard.call("explain", job))


def test_a_struck_job_waits_until_the_end_of_the_strike_and_no_attempt_is_spent(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("strike", "s1", "mail", 4, "for", 60_000, "note", "bounces", "tenant", "acme")
    [job] = put_aside(shard, consumer, 1)
    assert "struck: mail where tenant=acme, until 2023-11-14 22:14:20 UTC (strike s1): bounces" in explained(
        shard, job
    )
    shard.now += 59_999
    assert shard.take(consumer, 10) == []
    shard.now += 1
    [(_, row)] = shard.take(consumer, 10)
    assert (row[2][0].decode(), row[2][3]) == (job, 0)
    assert shard.call("strikes") == []
    assert (stats(shard).get("strikes"), balance(shard)) == (None, 0)


def test_the_jobs_of_a_lifted_strike_come_back_a_bounded_number_a_call_the_first_ones_first(
    shard: Shard,
) -> None:
    consumer = shard.register()
    shard.call("strike", "s1", "mail", 0)
    jobs = put_aside(shard, consumer, 500) + put_aside(shard, consumer, 500)
    assert stats(shard)["struck"] == "1000"
    assert shard.call("unstrike", "s1", "anna") == 1
    assert int(stats(shard)["pending"]) == FREED
    for first, last in ((0, 2 * FREED), (2 * FREED, 3 * FREED), (3 * FREED, 4 * FREED)):
        assert set(names(shard.take(consumer, 500))) == set(jobs[first:last])
        assert balance(shard) == 0
    assert shard.take(consumer, 1) == []
    assert "struck" not in stats(shard)
    assert shard.client.exists(shard.key("struck"), shard.key("struck:s1"), shard.key("strikes")) == 0


def test_whoever_has_room_is_told_to_come_again_while_a_lifted_strike_has_jobs_left(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("strike", "s1", "mail", 0)
    jobs = put_aside(shard, consumer, 500)
    for job in jobs[:250]:
        assert shard.call("cancel", job) == b"CANCELLED"
    shard.call("unstrike", "s1")
    reply = shard.call("take", consumer, 0, 500, 0)
    assert (len(reply[9][1]) // 3, reply[4]) == (250, 1)
    assert balance(shard) == 0


@pytest.mark.parametrize("keys", [("strikes",), ("strike:s1",), ("strikes", "strike:s1")])
def test_jobs_of_a_strike_that_somebody_deleted_by_hand_come_back(
    shard: Shard, keys: tuple[str, ...]
) -> None:
    consumer = shard.register()
    shard.call("strike", "s1", "mail", 0)
    jobs = put_aside(shard, consumer, 3)
    for key in keys:
        shard.client.delete(shard.key(key))
    assert names(shard.take(consumer, 10)) == jobs
    assert balance(shard) == 0


def test_a_struck_job_is_offered_again_after_a_day_even_when_all_keys_of_strikes_are_gone(
    shard: Shard,
) -> None:
    consumer = shard.register()
    shard.call("strike", "s1", "mail", 0)
    [job] = put_aside(shard, consumer, 1)
    shard.client.delete(*(shard.key(key) for key in ("strikes", "strike:s1", "struck", "struck:s1")))
    shard.now += DAY
    shard.call("renew", 3_000, consumer)
    consumer = shard.register()
    assert names(shard.take(consumer, 10)) == [job]
    assert shard.client.hget(shard.key("meta"), "strikes") == b"0"


def test_a_job_that_is_handed_back_for_a_strike_that_is_over_is_due_at_once_and_its_worker_is_told(
    shard: Shard,
) -> None:
    consumer = shard.register()
    shard.enqueue("5", "mail", "x")
    [(level, row)] = shard.take(consumer, 1)
    reply = shard.call("take", consumer, 0, 1, 0, "strike", level, row[0], 2, "reason", "unknown")
    assert reply[7] == [b"strikes"]
    assert names([("5", reply[9][1][:3])]) == [f"5-{row[0].decode()}"]


def test_every_living_worker_is_told_of_a_new_and_of_a_lifted_strike(shard: Shard) -> None:
    consumers = [shard.register() for _ in range(3)]
    for call in (("strike", "s1", "mail", 0), ("unstrike", "s1")):
        shard.call(*call)
        assert [shard.call("take", consumer, 0, 0, 0)[7] for consumer in consumers] == [[b"strikes"]] * 3


def test_a_repeated_strike_is_one_strike(shard: Shard) -> None:
    call = ("strike", "s1", "mail", 2, "by", "anna", "tenant", "acme")
    assert [shard.call(*call), shard.call(*call)] == [1, 0]
    assert [shard.call("unstrike", "s1", "anna"), shard.call("unstrike", "s1", "anna")] == [1, 0]
    lines = [line.decode().partition(" ")[2] for line in shard.call("audit", 10)]
    assert lines == [
        "anna: lifted strike s1 of mail where tenant=acme",
        "anna: struck mail where tenant=acme, until it is lifted (strike s1)",
    ]


def test_struck_jobs_can_be_cancelled_and_purged_and_leave_nothing(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("strike", "s1", "mail", 0)
    first, *_ = put_aside(shard, consumer, 5)
    assert shard.call("cancel", first) == b"CANCELLED"
    assert shard.call("purge", "delayed", "-", "0")[0] == 4
    assert balance(shard) == 0
    shard.call("unstrike", "s1")
    assert shard.take(consumer, 10) == []
    assert shard.client.keys(shard.key("str*")) == []


def test_a_pending_job_says_which_strike_waits_for_it(shard: Shard) -> None:
    shard.call("strike", "s1", "mail", 0, "tenant", "acme")
    (entry,) = shard.enqueue("5", "mail", "x")
    (other,) = shard.enqueue("5", "post", "x")
    assert "strike s1 puts it aside until it is lifted if it is mail where tenant=acme" in explained(
        shard, f"5-{entry}"
    )
    assert "strike" not in explained(shard, f"5-{other}")


def test_a_queue_goes_away_with_its_strikes(shard: Shard) -> None:
    shard.call("strike", "s1", "mail", 0, "tenant", "acme")
    assert shard.call("remove") == 1
    assert shard.client.keys(shard.key("*")) == [shard.key("removed").encode()]


def test_a_struck_job_gives_its_tokens_and_its_slot_back(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("limit_set", "api", "rate=0.001 burst=3 slots=1", "anna")
    shard.call("strike", "s1", "mail", 0)
    for _ in range(9):
        shard.enqueue("5:2", "mail", "x", "lane", "api")
    for _ in range(9):
        [(level, row)] = shard.take(consumer, 1)
        shard.take(consumer, 0, "strike", level, row[0], 2, "reason", "s1")
    assert stats(shard)["struck"] == "9"
    limit = [part.decode() for part in shard.call("limit", "api")]
    assert dict(zip(limit[::2], limit[1::2], strict=True))["tokens"] == "3"
    assert balance(shard) == 0
    shard.call("unstrike", "s1")
    assert len(shard.take(consumer, 9)) == 1


def test_an_ordered_lane_stands_still_for_a_strike_and_keeps_its_order(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("limit_set", "account:7", "slots=1 ordered=1", "anna")
    shard.call("strike", "s1", "mail", 0)
    jobs = [f"5-{shard.enqueue('5:2', task, 'x', 'lane', 'account:7')[0]}" for task in ("mail", "other")]
    [(level, row)] = shard.take(consumer, 5)
    shard.take(consumer, 0, "strike", level, row[0], 2, "reason", "s1")
    assert shard.take(consumer, 5) == []
    assert "struck: mail, until it is lifted (strike s1)" in explained(shard, jobs[0])
    for _ in range(2):  # looked at again while the strike stands
        shard.now += 5_000
        [(level, row)] = shard.take(consumer, 5)
        assert row[2][0].decode() == jobs[0]
        shard.take(consumer, 0, "strike", level, row[0], 2, "reason", "s1")
    shard.call("unstrike", "s1")
    shard.now += 5_000
    [(level, row)] = shard.take(consumer, 5)
    assert row[2][0].decode() == jobs[0]
    shard.take(consumer, 0, "done", level, row[0], 0)
    [(level, row)] = shard.take(consumer, 5)
    assert row[1].decode().split()[0] == jobs[1]
    assert balance(shard) == 0


def test_a_struck_job_ends_at_its_deadline_although_the_strike_goes_on(shard: Shard) -> None:
    consumer = shard.register()
    shard.call("strike", "s1", "mail", 0)
    (entry,) = shard.enqueue("5:2", "mail", "x", "within", 2_000)
    [(level, row)] = shard.take(consumer, 1)
    shard.take(consumer, 0, "strike", level, row[0], 2, "reason", "s1")
    shard.now += 2_001
    assert shard.take(consumer, 1) == []
    assert explained(shard, f"5-{entry}").startswith("expired\nits deadline was")
    assert balance(shard) == 0
