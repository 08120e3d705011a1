"""Gates on shards, with time in our hands: children run after their parents, in one shard and across two, and none hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from places import Place
from servers import Server
from streamq.library import library

HOUR = 3_600_000


@pytest.fixture
def place(server: Server, anchor: str) -> Callable[[str], Place]:
    server.raw.function_load(library().source)
    return lambda queue: Place(server.raw, f"sq:{{{queue}}}")


def settle(place: Place, consumer: str, outcome: str, *pairs: object) -> Any:
    """Take one job, and end it so."""
    [(level, row)] = place.take(consumer, 1)
    return place.take(consumer, 0, outcome, level, row[0], len(pairs), *pairs)


def test_a_child_runs_after_all_of_its_parents(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    consumer = shard.register()
    parents = [shard.add("parent", "record", 1), shard.add("parent", "tags", "x")]
    child = shard.add("child", "after", " ".join(f"{shard.full(job)}=success" for job in parents))
    assert (shard.state(child), shard.balance()) == ("waiting", 0)
    assert f"parent {shard.full(parents[0])} must complete; it is pending" in shard.explained(child)
    settle(shard, consumer, "done")
    assert shard.state(child) == "waiting"
    settle(shard, consumer, "done")
    assert (shard.run(consumer), shard.balance()) == ([child], 0)


def test_a_plain_job_that_has_begun_can_still_become_a_parent(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    consumer = shard.register()
    parent = shard.add("parent")
    [(level, row)] = shard.take(consumer, 1)
    child = shard.add("child", "after", f"{shard.full(parent)}=success+")
    wanted = shard.call("take", consumer, 0, 0, 0, "ok", level, 1, "", row[0])[6]
    assert wanted == [b"5", row[0]]
    shard.take(consumer, 0, "done", level, row[0], 2, "result", "r")
    assert shard.client.hget(shard.key(f"output:{shard.full(parent)}"), "result") == b"r"
    assert shard.run(consumer) == [child]
    assert not shard.client.exists(shard.key(f"output:{shard.full(parent)}"))
    assert shard.balance() == 0


@pytest.mark.parametrize(
    ("end", "success", "failure", "any_end"),
    [
        ("done", "pending", "skipped", "pending"),
        ("dead", "skipped", "pending", "pending"),
        ("cancelled", "cancelled", "pending", "pending"),
        ("skip", "skipped", "skipped", "pending"),
    ],
)
def test_every_edge_says_what_the_end_of_a_parent_means(
    place: Callable[[str], Place], end: str, success: str, failure: str, any_end: str
) -> None:
    shard = place("mail")
    consumer = shard.register()
    parent = shard.add("parent", "record", 1)
    children = [
        shard.add("child", "after", f"{shard.full(parent)}={on}") for on in ("success", "failure", "any")
    ]
    grandchild = shard.add("grandchild", "after", f"{shard.full(children[0])}=failure")
    settle(shard, consumer, end)
    assert [shard.state(child) for child in children] == [success, failure, any_end]
    assert shard.state(grandchild) == ("waiting" if success == "pending" else "skipped")
    assert shard.balance() == 0


def test_one_failure_among_the_parents_is_enough_and_all_are_waited_for(
    place: Callable[[str], Place],
) -> None:
    shard = place("mail")
    consumer = shard.register()
    parents = [shard.add("parent", "record", 1) for _ in range(3)]
    child = shard.add("child", "after", " ".join(f"{shard.full(job)}=failure" for job in parents))
    for end in ("done", "dead"):
        settle(shard, consumer, end)
        assert shard.state(child) == "waiting"
    settle(shard, consumer, "done")
    assert shard.run(consumer) == [child]


def test_expiry_travels_down(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    consumer = shard.register()
    parent = shard.add("parent", "expires", 1_000)
    child = shard.add("child", "after", f"{shard.full(parent)}=success")
    last = shard.add("last", "after", f"{shard.full(child)}=any")
    shard.now += 2_000
    assert shard.run(consumer) == []
    assert shard.state(child) == "expired"
    assert (shard.run(consumer), shard.balance()) == ([last], 0)


def test_a_job_at_its_gate_can_be_cancelled_and_purged(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    parent = shard.add("parent", "delay", HOUR)
    first, second = (shard.add("child", "after", f"{shard.full(parent)}=any") for _ in range(2))
    assert shard.call("cancel", first) == b"CANCELLED"
    assert shard.call("list", "gated", "-", 10)[1][0].decode() == second
    assert shard.call("purge", "gated", "-", "0")[0] == 1
    assert ([shard.state(job) for job in (first, second)], shard.balance()) == (["cancelled", "cancelled"], 0)


def test_a_parent_that_ended_before_counts_and_an_unknown_one_is_said(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    consumer = shard.register()
    kept, gone = shard.add("parent"), "5-1700000000000-999"
    settle(shard, consumer, "done", "result", "r", "ttl", 60_000)
    late = shard.add("child", "after", f"{shard.full(kept)}=success+")
    assert shard.client.hget(shard.key(f"output:{shard.full(kept)}"), "result") == b"r"
    assert shard.run(consumer) == [late]
    lost = shard.add("child", "after", f"{shard.full(gone)}=success")
    assert (shard.state(lost), shard.balance()) == ("skipped", 0)


def test_a_thousand_children_are_told_in_several_calls(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    consumer = shard.register()
    parent = shard.add("parent", "record", 1)
    for _ in range(600):
        shard.add("child", "after", f"{shard.full(parent)}=success")
    settle(shard, consumer, "done")
    stats = dict(zip(*[iter(part.decode() for part in shard.call("stats"))] * 2, strict=True))
    assert 0 < int(stats["waiting"]) < 600
    for _ in range(5):
        shard.call("recover")
    stats = dict(zip(*[iter(part.decode() for part in shard.call("stats"))] * 2, strict=True))
    assert (stats["waiting"], stats["pending"], shard.balance()) == ("0", "600", 0)


def test_children_in_another_shard_are_told_by_messages_that_may_come_twice(
    place: Callable[[str], Place],
) -> None:
    mail, post = place("mail"), place("post")
    worker, other = mail.register(), post.register()
    parent = mail.add("parent")
    child = post.add("child", "after", f"{mail.full(parent)}=success+")
    assert b"relay" in post.call("take", other, 0, 0, 0)[7]
    assert b"relay" not in post.call("take", other, 0, 0, 0)[7], "one worker at a time is asked"
    assert post.relay(mail) == 1
    [(level, row)] = mail.take(worker, 1)
    mail.take(worker, 0, "done", level, row[0], 2, "result", "r")
    assert post.state(child) == "waiting"
    assert mail.relay(post) == 1
    assert post.client.hget(post.key(f"output:{mail.full(parent)}"), "result") == b"r"
    assert post.run(other) == [child]
    assert (mail.balance(), post.balance()) == (0, 0)


def test_a_lost_message_is_made_good_by_asking_again(place: Callable[[str], Place]) -> None:
    mail, post = place("mail"), place("post")
    worker, other = mail.register(), post.register()
    parent = mail.add("parent", "record", 1)
    child = post.add("child", "after", f"{mail.full(parent)}=success")
    post.relay(mail)
    settle(mail, worker, "done")
    mail.client.delete(mail.key("outbox"))  # as after a failover of the other side
    post.now += 70_000
    mail.now = post.now
    post.call("renew", 3_000, other)
    assert post.relay(mail) == 1
    assert mail.relay(post) > 0
    assert post.state(child) == "pending"


def flow_of(home: Place, jobs: int) -> tuple[str, str, list[str]]:
    """An open flow: its id, its start, and reserved ids."""
    ms, _, seq = home.call("flow_open", "order", HOUR, jobs).decode().partition("-")
    return f"0-{ms}-{seq}", f"1-{ms}-{seq}", [f"{ms}-{int(seq) + i}" for i in range(1, jobs + 1)]


def flow_fields(home: Place, flow: str) -> dict[str, str]:
    reply = [part.decode() for part in home.call("flow", flow)]
    return dict(zip(reply[::2], reply[1::2], strict=True))


def test_a_flow_runs_when_it_is_committed_and_ends_with_its_last_job(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    consumer = shard.register()
    flow, start, (a, b) = flow_of(shard, 2)
    full = shard.full(flow)
    shard.add("second", "id", b, "flow", full, "after", f"mail-5-{a}=success")
    shard.add("first", "id", a, "flow", full, "after", f"mail-{start}=success")
    assert shard.run(consumer) == []
    shard.call("flow_commit", flow, "main", f"mail-5-{a}", "first", "main", f"mail-5-{b}", "second")
    assert shard.run(consumer) == [f"5-{a}"]
    assert flow_fields(shard, flow)["state"] == "running"
    assert shard.run(consumer) == [f"5-{b}"]
    fields = flow_fields(shard, flow)
    assert (fields["state"], fields["completed"], fields["total"]) == ("completed", "2", "2")
    assert (shard.balance(), 0 < shard.client.pttl(shard.key(f"flow:{flow}")) <= HOUR) == (0, True)


def test_a_flow_that_nobody_commits_is_given_up(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    consumer = shard.register()
    flow, start, (a,) = flow_of(shard, 1)
    shard.add("first", "id", a, "flow", shard.full(flow), "after", f"mail-{start}=success")
    shard.now += HOUR + 1_000
    shard.call("renew", 3_000, consumer)
    assert (shard.state(f"5-{a}"), flow_fields(shard, flow)["state"], shard.balance()) == (
        "cancelled",
        "cancelled",
        0,
    )
    with pytest.raises(redis.ResponseError, match="was given up"):
        shard.call("flow_commit", flow)


def test_steps_are_undone_in_reverse_order_when_a_flow_fails(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    consumer = shard.register()
    flow, start, (a, b, c, undo_a, undo_b) = flow_of(shard, 5)
    full = shard.full(flow)
    shard.add("a", "id", a, "flow", full, "after", f"mail-{start}=success")
    shard.add("b", "id", b, "flow", full, "after", f"mail-5-{a}=success")
    shard.add("c", "id", c, "flow", full, "after", f"mail-5-{b}=success")
    shard.add("ub", "id", undo_b, "flow", f"{full} undo", "after", f"{full}=failure mail-5-{b}=success")
    shard.add(
        "ua",
        "id",
        undo_a,
        "flow",
        f"{full} undo",
        "after",
        f"{full}=failure mail-5-{a}=success mail-5-{undo_b}=any",
    )
    rows = [("main", a), ("main", b), ("main", c), ("undo", undo_a), ("undo", undo_b)]
    shard.call("flow_commit", flow, *(part for role, job in rows for part in (role, f"mail-5-{job}", "x")))
    assert [shard.run(consumer), shard.run(consumer)] == [[f"5-{a}"], [f"5-{b}"]]
    assert shard.run(consumer, "dead") == [f"5-{c}"]
    assert flow_fields(shard, flow)["state"] == "undoing"
    assert [shard.run(consumer), shard.run(consumer)] == [[f"5-{undo_b}"], [f"5-{undo_a}"]]
    assert (flow_fields(shard, flow)["state"], shard.balance()) == ("failed", 0)


def test_a_failed_flow_runs_again_from_where_it_stopped(place: Callable[[str], Place]) -> None:
    shard = place("mail")
    consumer = shard.register()
    flow, start, (a, b, c) = flow_of(shard, 3)
    full = shard.full(flow)
    shard.add("a", "id", a, "flow", full, "after", f"mail-{start}=success")
    shard.add("b", "id", b, "flow", full, "after", f"mail-5-{a}=success")
    shard.add("c", "id", c, "flow", full, "after", f"mail-5-{b}=success+ mail-5-{a}=success+")
    shard.call("flow_commit", flow, *(part for job in (a, b, c) for part in ("main", f"mail-5-{job}", "x")))
    settle(shard, consumer, "done", "result", "of a")
    settle(shard, consumer, "dead")
    fields = flow_fields(shard, flow)
    assert (fields["state"], fields["dead"], fields["skipped"]) == ("failed", "1", "1")
    shard.call("revive", f"5-{b}", "-", f"5-{c}", f"mail-5-{b}=success+")
    assert flow_fields(shard, flow)["state"] == "running"
    assert (shard.run(consumer, "done", "result", "of b"), shard.run(consumer)) == ([f"5-{b}"], [f"5-{c}"])
    fields = flow_fields(shard, flow)
    assert (fields["state"], fields["completed"], fields["dead"], fields["failures"]) == (
        "completed",
        "3",
        "0",
        "0",
    )
    assert shard.balance() == 0


def test_what_comes_late_of_an_earlier_run_closes_nothing(place: Callable[[str], Place]) -> None:
    mail, post = place("mail"), place("post")
    worker, other = mail.register(), post.register()
    flow, start, (a,) = flow_of(mail, 1)
    [b] = post.reserve(1)
    full = mail.full(flow)
    mail.add("a", "id", a, "flow", full, "after", f"mail-{start}=success")
    post.add("b", "id", b, "flow", full, "after", f"mail-5-{a}=success")
    post.relay(mail)
    mail.call("flow_commit", flow, "main", f"mail-5-{a}", "x", "main", f"post-5-{b}", "x")
    settle(mail, worker, "dead")
    late = mail.call("outbox", "0-0")[1:7]
    mail.relay(post)
    assert post.state(f"5-{b}") == "skipped"
    mail.call("revive", f"5-{a}", "-")
    post.call("revive", f"5-{b}", f"mail-5-{a}=success@1")
    post.call("hear", *late)
    post.relay(mail)
    assert post.state(f"5-{b}") == "waiting"
    settle(mail, worker, "done")
    mail.relay(post)
    assert post.run(other) == [f"5-{b}"]
    post.relay(mail)
    assert flow_fields(mail, flow)["state"] == "completed"


def test_a_flow_asks_for_jobs_of_other_shards_that_it_has_not_heard_of(place: Callable[[str], Place]) -> None:
    mail, post = place("mail"), place("post")
    worker, other = mail.register(), post.register()
    flow, start, _ = flow_of(mail, 0)
    ids = post.reserve(2)
    for job in ids:
        post.add("b", "id", job, "flow", mail.full(flow), "after", f"mail-{start}=success")
    post.relay(mail)
    mail.call("flow_commit", flow, *(part for job in ids for part in ("main", f"post-5-{job}", "x")))
    mail.relay(post)
    settle(post, other, "done")
    post.client.delete(post.key("outbox"))  # as after a failover of the home, which had heard of it
    settle(post, other, "dead")
    post.relay(mail)
    assert flow_fields(mail, flow)["state"] == "running"
    mail.now += 310_000
    post.now = mail.now
    mail.call("renew", 3_000, worker)
    assert mail.relay(post) == 1
    post.relay(mail)
    fields = flow_fields(mail, flow)
    assert (fields["state"], fields["completed"], fields["dead"]) == ("failed", "1", "1")


def test_a_flow_is_cancelled_in_both_shards_and_what_it_did_is_undone(place: Callable[[str], Place]) -> None:
    mail, post = place("mail"), place("post")
    worker, other = mail.register(), post.register()
    flow, start, (a, undo) = flow_of(mail, 2)
    [b] = post.reserve(1)
    full = mail.full(flow)
    mail.add("a", "id", a, "flow", full, "after", f"mail-{start}=success")
    mail.add("u", "id", undo, "flow", f"{full} undo", "after", f"{full}=failure mail-5-{a}=success")
    post.add("b", "id", b, "flow", full, "after", f"mail-5-{a}=success", "delay", HOUR)
    post.relay(mail)
    rows = [("main", f"mail-5-{a}"), ("undo", f"mail-5-{undo}"), ("main", f"post-5-{b}")]
    mail.call("flow_commit", flow, *(part for role, job in rows for part in (role, job, "x")))
    assert mail.run(worker) == [f"5-{a}"]
    mail.relay(post)
    assert post.state(f"5-{b}") == "scheduled"
    assert mail.call("flow_cancel", flow, "-") == b""
    mail.relay(post)
    assert post.relay(mail) == 1
    assert (flow_fields(mail, flow)["state"], mail.run(worker)) == ("undoing", [f"5-{undo}"])
    assert (flow_fields(mail, flow)["state"], post.run(other)) == ("cancelled", [])
    assert (mail.balance(), post.balance()) == (0, 0)
