"""Deadlines and expiry on a shard, with time in our hands."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from shards import Shard


def fields(shard: Shard, function: str, *args: object) -> dict[str, str]:
    reply = [part.decode() for part in shard.call(function, *args)]
    return dict(zip(reply[::2], reply[1::2], strict=True))


def put_in(shard: Shard, *pairs: Any) -> str:
    """One job with these pairs; its id."""
    (entry,) = shard.enqueue(f"5:{len(pairs)}", "mail", "x", *pairs)
    return f"5-{entry}"


@pytest.mark.parametrize("pairs", [("within", 5_000), ("deadline", 1_700_000_005_000)])
def test_a_job_whose_deadline_is_past_is_never_given_and_says_why(shard: Shard, pairs: Any) -> None:
    job = put_in(shard, *pairs)
    assert b"it must be finished in 5.0 s" in shard.call("explain", job)
    shard.now += 5_001
    assert shard.call("wait", job, shard.key("reply:1"))[0] == b"waiting"
    assert shard.take(shard.register(), 10) == []
    reason = "its deadline was 0.0 s ago"
    assert shard.client.lpop(shard.key("reply:1")) == f"{job} expired {reason}".encode()
    assert shard.call("wait", job, shard.key("reply:2")) == [b"expired", reason.encode()]
    assert (fields(shard, "job", job)["state"], fields(shard, "job", job)["reason"]) == ("expired", reason)
    assert shard.call("explain", job) == [b"expired", reason.encode()]
    assert (fields(shard, "stats")["expired"], shard.call("conservation")[0]) == ("1", 0)


def test_a_deadline_holds_for_later_attempts_and_an_expiry_for_the_first_one_only(shard: Shard) -> None:
    consumer = shard.register()
    dying, living = put_in(shard, "within", 1_000, "expires", 5_000), put_in(shard, "expires", 500)
    settlements: list[Any] = []
    for level, row in shard.take(consumer, 10):
        settlements += ["retry", level, row[0], 2, "delay", 1_500]
    shard.take(consumer, 0, *settlements)
    shard.now += 1_500
    [(_, row)] = shard.take(consumer, 10)
    assert row[2][0].decode() == living
    assert fields(shard, "job", dying)["state"] == "expired"


def test_a_worker_is_told_the_deadline_with_the_job(shard: Shard) -> None:
    put_in(shard, "within", 1_000)
    put_in(shard, "tags", "none")
    (_, first), (_, second) = shard.take(shard.register(), 10)
    assert first[2][5:] == [None, None, shard.now + 1_000]
    assert second[2][5:] == []


def test_a_worker_can_let_a_job_expire_with_a_reason_that_is_kept_for_a_minute(shard: Shard) -> None:
    consumer = shard.register()
    job = put_in(shard, "within", 1_000)
    [(level, row)] = shard.take(consumer, 1)
    shard.take(consumer, 0, "expired", level, row[0], 2, "reason", "deadline in 0.2 s, it takes 1.3 s")
    assert fields(shard, "job", job)["reason"] == "deadline in 0.2 s, it takes 1.3 s"
    assert shard.client.pttl(shard.key(f"job:{job}")) in range(55_000, 60_001)
    shard.client.delete(shard.key(f"job:{job}"))
    assert shard.call("wait", job, shard.key("reply:1")) == [b"expired", None]
    assert shard.call("conservation")[0] == 0


def test_a_job_in_a_lane_expires_at_its_deadline(shard: Shard) -> None:
    job = put_in(shard, "lane", "tenant:acme", "within", 1_000)
    shard.now += 1_001
    assert shard.take(shard.register(), 10) == []
    assert fields(shard, "job", job)["reason"] == "its deadline was 0.0 s ago"
    assert shard.call("conservation")[0] == 0


def test_a_dead_job_that_somebody_retries_has_no_deadline_any_more(shard: Shard) -> None:
    consumer = shard.register()
    job = put_in(shard, "within", 1_000)
    [(level, row)] = shard.take(consumer, 1)
    shard.take(consumer, 0, "dead", level, row[0], 2, "error", "E: x")
    shard.now += 2_000
    shard.call("retry", job)
    assert len(shard.take(consumer, 1)) == 1


def test_two_deadlines_are_refused(shard: Shard) -> None:
    with pytest.raises(redis.ResponseError, match="^INVALID deadline and within exclude each other"):
        put_in(shard, "deadline", 1, "within", 1)
