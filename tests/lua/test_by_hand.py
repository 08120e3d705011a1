"""The whole life of jobs by strings alone, as somebody types it into redis-cli: ``now`` is 0, the server's own clock."""

from __future__ import annotations

import pytest
import redis

from servers import Server
from shards import Shard
from streamq.library import library


@pytest.fixture
def typed(shard: Shard) -> Shard:
    """A shard on the server's clock."""
    shard.now = 0
    return shard


def counts(shard: Shard) -> dict[str, str]:
    """What ``stats`` says."""
    flat = shard.client.fcall_ro("sq1_stats", 1, shard.anchor, "0")
    return {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}


def test_a_job_goes_in_runs_and_is_counted(typed: Shard) -> None:
    (entry,) = typed.enqueue("5", "send_mail", '{"to": "you"}')
    consumer = typed.register()
    assert typed.take(consumer, 1) == [("5", (entry.encode(), b"send_mail", b'{"to": "you"}'))]
    assert typed.call("finish", consumer, "0", "ok", "5", "1", "one done", entry) == [b"clean", [], []]
    said = counts(typed)
    assert (said["enqueued"], said["completed"], said["active"]) == ("1", "1", "0")
    assert typed.client.lrange(typed.key("done"), 0, -1)[0].endswith(b" completed one done")


def test_a_job_may_be_named_with_its_queue_in_front(typed: Shard) -> None:
    (entry,) = typed.enqueue("5", "send_mail", "x")
    assert typed.call("cancel", f"mail-5-{entry}") == b"CANCELLED"
    assert typed.call("cancel", f"5-{entry}") == b"GONE"


def test_a_record_can_be_read_by_people(typed: Shard) -> None:
    (entry,) = typed.enqueue("7:4", "send_mail", "x", "delay", "60000", "tags", "red")
    record = typed.client.hgetall(typed.key(f"job:7-{entry}"))
    assert record[b"task"] == b"send_mail"
    assert record[b"state"] == b"scheduled"
    assert record[b"tags"] == b"red"
    assert typed.client.zrange(typed.key("tag:red"), 0, -1) == [f"7-{entry}".encode()]


def test_who_waits_gets_the_result_pushed_and_a_plain_completion_is_refused_until_it_brings_one(
    typed: Shard,
) -> None:
    (entry,) = typed.enqueue("5", "add", "x")
    consumer = typed.register()
    typed.take(consumer, 1)
    assert typed.call("wait", f"5-{entry}", typed.key("reply:me")) == [b"waiting", None]
    assert typed.call("finish", consumer, "0", "ok", "5", "1", "", entry)[2] == [b"5", entry.encode()]
    typed.call("finish", consumer, "0", "done", "5", entry, "2", "result", "42")
    assert typed.client.lrange(typed.key("reply:me"), 0, -1) == [f"5-{entry} completed 42".encode()]


def test_who_gives_up_takes_no_others_answer_along(typed: Shard) -> None:
    first, second = typed.enqueue("5*2", "mail", "1", "2")
    consumer = typed.register()
    typed.take(consumer, 2)
    for entry in (first, second):
        typed.call("wait", f"5-{entry}", typed.key("reply:me"))
    typed.call("finish", consumer, 0, "done", "5", first, 2, "result", "42")
    typed.call("unwait", f"5-{second}", typed.key("reply:me"))
    assert typed.client.lrange(typed.key("reply:me"), 0, -1) == [f"5-{first} completed 42".encode()]


def test_a_strangers_entry_with_a_later_id_stops_nobody_and_is_served(typed: Shard) -> None:
    typed.enqueue("5", "mail", "ours")
    typed.client.xadd(typed.key("ready:5"), {"mail": "foreign"}, id="99999999999999-5")
    typed.enqueue("5", "mail", "after")
    rows = typed.take(typed.register(), 10)
    assert [row[2] for _, row in rows] == [b"ours", b"foreign", b"after"]


def test_a_strangers_entry_from_beyond_all_times_closes_its_level_until_it_is_gone(shard: Shard) -> None:
    consumer = shard.register()
    shard.enqueue("5:2", "mail", "due", "delay", 1)
    shard.client.xadd(shard.key("ready:5"), {"mail": "foreign"}, id="10000000000000000-1")
    shard.now += 10
    with pytest.raises(redis.ResponseError, match="STATE .*ready:5 ends at id 10000000000000000-1"):
        shard.enqueue("5", "mail", "refused")
    shard.enqueue("7", "mail", "other level")
    rows = shard.take(consumer, 10)
    assert [row[2] for _, row in rows] == [b"other level", b"foreign"]
    for level, row in rows:
        shard.call("finish", consumer, 0, "ok", level, 1, "", row[0])
    shard.enqueue("5", "mail", "after")
    bodies = [row[2][2] if row[1] == b"@" else row[2] for _, row in shard.take(consumer, 10)]
    assert sorted(bodies) == [b"after", b"due"]
    assert shard.call("conservation")[0] == 0


def test_what_only_looks_may_be_called_read_only_and_what_changes_may_not(typed: Shard) -> None:
    (entry,) = typed.enqueue("5", "mail", "x")
    for function, args in (
        ("stats", []), ("job", [f"5-{entry}"]), ("explain", [f"5-{entry}"]), ("list", ["pending", "-", "10"]),
        ("workers", []), ("minutes", ["0", "1"]), ("conservation", []),
    ):  # fmt: skip
        typed.client.fcall_ro(f"sq1_{function}", 1, typed.anchor, "0", *args)
    with pytest.raises(redis.ResponseError, match="Can not execute a script with write flag"):
        typed.client.fcall_ro("sq1_pause", 1, typed.anchor, "0")


def test_a_server_that_is_full_refuses_new_jobs_and_lets_the_others_end(server: Server, anchor: str) -> None:
    server.raw.function_load(library().source)
    shard = Shard(server.raw, anchor)
    shard.enqueue("5", "mail", "x")
    consumer = shard.register()
    server.raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.ResponseError, match="OOM|used memory"):
            shard.enqueue("5", "mail", "y")
        ((_, row),) = shard.take(consumer, 1)
        assert shard.call("finish", consumer, 0, "ok", "5", 1, "", row[0])[1] == []
    finally:
        server.raw.config_set("maxmemory", 0)
    assert server.raw.hget(shard.key("counts"), "completed") == b"1"
