"""What a second call with the same unique key means, on every engine, through the operations of a queue; time is the
test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from drivers import Driver
from streamq.errors import ProtocolError, UniqueConflict, WrongState
from streamq.protocol.consume import handed_out, settle
from streamq.protocol.enqueue import Enqueued, NewJob
from streamq.protocol.keys import reply_key
from streamq.queue import Queue

LATEST = ("unique", "k", "on_conflict", "latest")
REPLACE = ("unique", "k", "on_conflict", "replace")
DEBOUNCE = ("unique", "k", "debounce", 2_000, "longest", 5_000)
WINDOW = ("unique", "k", "until", 10_000)


class Shop:
    """A queue whose jobs are put in, taken and settled by hand. Jobs are known by their bodies."""

    def __init__(self, driver: Driver) -> None:
        self.driver, self.queue = driver, Queue("mail", now=1_800_000_000_000)
        self.consumer = self.register()
        self.places: dict[str, tuple[str, str]] = {}  # job -> its level and entry

    def run(self, call: Any) -> Any:
        return self.driver.run(call)

    def register(self) -> str:
        return str(self.run(self.queue.register(60_000)).consumer)

    def put(self, body: str, *options: str | int, level: int = 5) -> str:
        """The job that stands for this call."""
        return self.put_all(NewJob("send", body.encode(), level, options)).ids[0]

    def put_all(self, *jobs: NewJob) -> Enqueued:
        added: Enqueued = self.run(self.queue.push(jobs))
        return added

    def take(self, consumer: str = "") -> dict[str, str]:
        """Job → body, of all that can be taken now."""
        taken = {}
        for level, rows in handed_out(self.run(self.queue.pop(consumer or self.consumer, 9)).groups):
            for entry, _, value in rows:
                taken[value[0].decode()] = value[2].decode()
                self.places[value[0].decode()] = level.decode(), entry.decode()
        return taken

    def settle(self, job: str, outcome: str = "done", *pairs: str | int) -> None:
        settlement = settle(outcome, *self.places[job], pairs)
        assert self.run(self.queue.settle(self.consumer, settlement)).refused == []

    def pass_time(self, ms: int) -> None:
        self.queue.now += ms
        self.run(self.queue.renew([self.consumer], 60_000))

    def explain(self, job: str) -> list[str]:
        sentences: list[str] = self.run(self.queue.explain(job))
        return sentences

    def count(self, name: str) -> int:
        return int(self.run(self.queue.stats())[name])


@pytest.fixture
def shop(driver: Driver) -> Iterator[Shop]:
    """At the end of every test each job is in exactly one place."""
    made = Shop(driver)
    yield made
    assert made.run(made.queue.conservation()).difference == 0


# -- debounce ----------------------------------------------------------------------------------------------------------


def test_a_debounced_job_runs_when_nobody_has_called_for_a_while_as_the_last_call_said(shop: Shop) -> None:
    job = shop.put("first", *DEBOUNCE)
    shop.pass_time(1_500)
    assert shop.put("last", *DEBOUNCE) == job
    shop.pass_time(1_999)
    assert shop.take() == {}
    shop.pass_time(1)
    assert shop.take() == {job: "last"}
    assert shop.count("enqueued") == 1


def test_calls_that_do_not_end_put_a_debounced_job_off_for_its_longest_time(shop: Shop) -> None:
    job = shop.put("0", *DEBOUNCE)
    for n in range(1, 4):
        shop.pass_time(1_500)
        assert shop.put(str(n), *DEBOUNCE) == job
    assert shop.explain(job)[1] == "debounced: runs in 0.5 s, at the latest in 0.5 s"
    shop.pass_time(499)
    assert shop.take() == {}
    shop.pass_time(1)
    assert shop.take() == {job: "3"}


def test_a_debounced_job_that_nobody_has_taken_yet_waits_anew(shop: Shop) -> None:
    job = shop.put("first", *DEBOUNCE)
    shop.pass_time(2_500)  # it is due, and in its ready stream
    assert shop.explain(job)[0] == "pending"
    assert shop.put("last", *DEBOUNCE) == job
    assert shop.take() == {}
    assert shop.explain(job)[1] == "debounced: runs in 2.0 s, at the latest in 2.5 s"
    shop.pass_time(2_000)
    assert shop.take() == {job: "last"}


def test_calls_beside_a_running_debounced_job_make_exactly_one_more(shop: Shop) -> None:
    running = shop.put("running", *DEBOUNCE)
    shop.pass_time(2_000)
    shop.take()
    again = shop.put("a", *DEBOUNCE)
    assert shop.put("b", *DEBOUNCE) == again != running
    shop.settle(running)
    shop.pass_time(2_000)
    assert shop.take() == {again: "b"}


def test_all_who_wait_for_a_debounced_job_are_told_its_end(shop: Shop, driver: Driver) -> None:
    job = shop.put("first", *DEBOUNCE)
    keys = [reply_key(shop.queue.anchor, name) for name in ("one", "two")]
    for key in keys:
        assert shop.run(shop.queue.wait(shop.put("again", *DEBOUNCE), key)).status == "waiting"
    shop.pass_time(2_000)
    shop.take()
    shop.settle(job, "done", "result", "42")
    assert [driver.receive(key, 1) for key in keys] == [f"{job} completed 42".encode()] * 2


# -- windows -----------------------------------------------------------------------------------------------------------


def test_in_a_window_the_first_job_stands_for_all_also_when_it_has_ended(shop: Shop) -> None:
    first = shop.put("first", *WINDOW)
    shop.take()
    shop.settle(first)
    shop.pass_time(9_999)
    assert shop.put("second", *WINDOW) == first
    with pytest.raises(UniqueConflict, match=first):
        shop.put("third", *WINDOW, "on_conflict", "reject")
    shop.pass_time(1)
    assert shop.put("fourth", *WINDOW) != first
    assert shop.take().popitem()[1] == "fourth"


# -- latest ------------------------------------------------------------------------------------------------------------


def complete(shop: Shop, job: str) -> None:
    shop.settle(job)


def give_up(shop: Shop, job: str) -> None:
    shop.settle(job, "dead", "reason", "failed")


def be_cancelled(shop: Shop, job: str) -> None:
    assert shop.run(shop.queue.cancel(job)) == "ASKED"
    shop.settle(job, "retry")


def be_cancelled_before_its_retry(shop: Shop, job: str) -> None:
    shop.settle(job, "retry", "delay", 60_000)
    assert shop.run(shop.queue.cancel(job)) == "CANCELLED"


def be_purged_before_its_retry(shop: Shop, job: str) -> None:
    shop.settle(job, "retry", "delay", 60_000)
    assert shop.driver.follow(shop.queue.purge("delayed")) == 1


def be_too_late(shop: Shop, job: str) -> None:
    shop.settle(job, "expired", "reason", "too late")


def be_poison(shop: Shop, job: str) -> None:
    consumer = shop.consumer
    for _ in range(4):
        suspect = "-".join(shop.places[job])
        alone = consumer != shop.consumer
        shop.run(shop.queue.abandon(consumer, alone=alone, suspects=[suspect]))
        consumer = shop.register()
        shop.run(shop.queue.pop(consumer, 0, isolate=1))
    shop.consumer = consumer


ENDS: list[Callable[[Shop, str], None]] = [
    complete, give_up, be_cancelled, be_cancelled_before_its_retry, be_purged_before_its_retry, be_too_late, be_poison,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_one_job_follows_the_running_one_whatever_its_end_is(shop: Shop, end: Callable[..., None]) -> None:
    running = shop.put("1", *LATEST)
    assert shop.take() == {running: "1"}
    follower = shop.put("2", *LATEST)
    assert shop.put("3", *LATEST) == follower != running
    assert shop.take() == {}
    assert shop.explain(follower)[:2] == ["waiting", f"follows mail-{running}, which is active"]
    assert f"mail-{follower} follows it" in shop.explain(running)
    end(shop, running)
    assert shop.take() == {follower: "3"}
    assert shop.put("4", *LATEST) not in {running, follower}, "the follower holds the key now"
    assert shop.count("waiting") == 1
    shop.settle(follower)


def test_a_job_that_waits_for_its_retry_has_one_follower_that_later_calls_replace(shop: Shop) -> None:
    running = shop.put("1", *LATEST)
    shop.take()
    follower = shop.put("2", *LATEST)
    shop.settle(running, "retry")
    assert shop.put("3", *LATEST) == shop.put("4", *REPLACE) == follower
    assert shop.take() == {running: "1"}
    shop.settle(running)
    assert shop.take() == {follower: "4"}


def test_a_retry_without_follower_gets_new_arguments_and_all_attempts(shop: Shop) -> None:
    job = shop.put("wrong", *LATEST)
    shop.take()
    shop.settle(job, "retry", "error", "E: wrong")
    assert shop.run(shop.queue.job(job))["attempt"] == "1"
    assert shop.put("right", *LATEST) == job
    assert "attempt" not in shop.run(shop.queue.job(job))
    assert shop.take() == {job: "right"}


def test_a_follower_that_is_cancelled_leaves_its_place_to_another(shop: Shop) -> None:
    running = shop.put("1", *LATEST)
    shop.take()
    first = shop.put("2", *LATEST)
    assert shop.run(shop.queue.cancel(first)) == "CANCELLED"
    second = shop.put("3", *LATEST)
    assert second not in {running, first}
    assert [one.id for one in shop.run(shop.queue.list_jobs("following")).jobs] == [second]
    with pytest.raises(WrongState, match="1 waiting"):
        shop.run(shop.queue.remove())
    assert shop.driver.follow(shop.queue.purge("following")) == 1
    shop.settle(running)
    assert shop.take() == {}
    assert shop.count("cancelled") == 2


def test_a_follower_with_a_time_of_its_own_waits_for_that_too(shop: Shop) -> None:
    running = shop.put("1", *LATEST)
    shop.take()
    follower = shop.put("2", *LATEST, "delay", 3_000)
    shop.settle(running)
    assert shop.explain(follower)[:2] == ["scheduled", "due in 3.0 s"]
    shop.pass_time(3_000)
    assert shop.take() == {follower: "2"}


def test_a_running_job_whose_worker_is_lost_is_not_overtaken_by_its_follower(shop: Shop) -> None:
    running = shop.put("1", *LATEST)
    shop.take()
    follower = shop.put("2", *LATEST)
    shop.run(shop.queue.abandon(shop.consumer))
    shop.consumer = shop.register()
    assert shop.take() == {running: "1"}
    shop.settle(running)
    assert shop.take() == {follower: "2"}


def test_who_sleeps_is_woken_for_a_follower_whose_predecessor_ends_by_hand(shop: Shop) -> None:
    running = shop.put("1", *LATEST)
    shop.take()
    shop.put("2", *LATEST)
    shop.settle(running, "retry", "delay", 60_000)
    assert shop.take() == {}  # and so it sleeps, and watches for the retry
    assert shop.driver.command("ZRANGE", "sq:{mail}:woken", 0, -1) == []
    shop.run(shop.queue.cancel(running))
    assert shop.driver.command("ZRANGE", "sq:{mail}:woken", 0, -1) == [shop.consumer.encode()]


# -- replace -----------------------------------------------------------------------------------------------------------


def test_a_waiting_job_keeps_its_id_and_gets_what_the_later_call_gives(shop: Shop) -> None:
    job = shop.put("1", *REPLACE, "delay", 60_000, "tags", "old", level=1)
    assert shop.put("2", *REPLACE, "tags", "new", "expires", 90_000, level=9) == job
    found = shop.run(shop.queue.job(job))
    assert (found["body"], found["level"], found["tags"]) == ("2", "9", "new")
    assert int(found["due"]) == shop.queue.now + 60_000, "no time was given"
    assert int(found["expires"]) == shop.queue.now + 60_000 + 90_000
    assert shop.run(shop.queue.list_jobs("tag:old")).jobs == []
    assert shop.put("3", *REPLACE, "delay", 1_000) == job
    shop.pass_time(1_000)
    assert shop.take() == {job: "3"}
    assert shop.places[job][0] == "5"


@pytest.mark.parametrize(
    ("parts", "body", "level", "due"),
    [
        ("arguments", "2", "1", 60_000),
        ("priority", "1", "9", 60_000),
        ("time", "1", "1", 0),
        ("time,priority", "1", "9", 0),
    ],
)
def test_exactly_what_is_named_is_replaced(shop: Shop, parts: str, body: str, level: str, due: int) -> None:
    job = shop.put("1", *REPLACE, "delay", 60_000, level=1)
    assert shop.put("2", *REPLACE, "replace", parts, level=9) == job
    found = shop.run(shop.queue.job(job))
    assert (found["body"], found["level"], int(found["due"])) == (body, level, shop.queue.now + due)


def test_a_pending_job_moves_to_another_level_and_to_a_later_time(shop: Shop) -> None:
    job, other = shop.put("1", *REPLACE, level=1), shop.put("other", "tags", "x", level=5)
    assert shop.put("2", *REPLACE, level=9) == job
    assert (shop.count("pending"), shop.count("pending:9")) == (2, 1)
    assert list(shop.take()) == [job, other]
    shop.settle(job)
    late = shop.put("3", *REPLACE)
    assert shop.put("4", *REPLACE, "delay", 500) == late
    assert (shop.take(), shop.count("delayed")) == ({}, 1)
    shop.pass_time(500)
    assert shop.take() == {late: "4"}


def test_a_running_job_is_not_replaced(shop: Shop) -> None:
    job = shop.put("1", *REPLACE)
    shop.take()
    assert shop.put("2", *REPLACE) == job
    assert (shop.run(shop.queue.job(job))["body"], shop.count("waiting")) == ("1", 0)


# -- all of them -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [DEBOUNCE, WINDOW, LATEST, REPLACE], ids=["debounce", "window", "latest", "replace"]
)
def test_a_repeated_call_answers_the_same_and_changes_nothing(
    shop: Shop, options: tuple[str | int, ...]
) -> None:
    def call(seq: int) -> Any:
        return shop.queue.push(
            [NewJob("send", str(seq).encode(), 5, options)], producer="p", channel=1, seq=seq
        )

    first, second = shop.run(call(1)), shop.run(call(2))
    before = shop.run(shop.queue.job(second.ids[0]))
    shop.queue.now += 700
    assert (shop.run(call(2)), shop.run(shop.queue.job(second.ids[0]))) == (second, before)
    assert (first.existing, second.existing) == ({}, {0: first.ids[0]})


def test_jobs_of_one_call_meet_each_other_as_those_of_two(shop: Shop) -> None:
    running = shop.put("0", *LATEST)
    shop.take()
    added = shop.put_all(
        *(NewJob("send", body.encode(), 5, LATEST) for body in "12"),
        NewJob("send", b"other", 5, ("tags", "x")),
        NewJob("send", b"3", 5, LATEST),
    )
    follower = added.ids[0]
    assert (added.existing, shop.count("waiting")) == ({1: follower, 3: follower}, 1)
    assert len({running, *added.ids}) == 3
    shop.settle(running)
    assert shop.take()[follower] == "3"


def test_a_job_in_a_lane_keeps_its_place_there_and_gets_new_arguments(shop: Shop) -> None:
    lane = ("lane", "tenant:acme")
    job, other = shop.put("1", *LATEST, *lane), shop.put("other", *lane, "tags", "x")
    assert shop.put("2", *LATEST, *lane, level=9) == job
    assert shop.take()[job] == "2"
    follower = shop.put("3", *LATEST, *lane)
    assert shop.explain(follower)[0] == "waiting"
    shop.settle(job)
    assert shop.take() == {follower: "3"}
    assert other not in {job, follower}


def test_a_job_that_waits_for_another_is_replaced_like_one_that_waits_for_its_time(shop: Shop) -> None:
    parent = shop.put("parent", "tags", "x")
    child = shop.put("1", "unique", "k", "after", f"mail-{parent}=success")
    assert shop.put("2", *LATEST) == child
    assert shop.take() == {parent: "parent"}
    shop.settle(parent)
    assert shop.take() == {child: "2"}


def test_a_job_that_waits_for_a_signal_has_begun_and_is_followed(shop: Shop) -> None:
    job = shop.put("1", *LATEST)
    shop.take()
    shop.settle(job, "wait", "for", "signal paid")
    follower = shop.put("2", *LATEST)
    assert shop.put("3", *REPLACE) == follower != job
    assert shop.run(shop.queue.cancel(job)) == "CANCELLED"
    assert shop.take() == {follower: "3"}


@pytest.mark.parametrize(
    "options",
    [
        ("debounce", 5), ("unique", "k", "longest", 5), (*DEBOUNCE, "delay", 1), (*DEBOUNCE, "until", "done"),
        (*WINDOW, "on_conflict", "latest"), (*LATEST, "until", "start"), (*LATEST, "replace", "time"),
        (*REPLACE, "replace", "tags"), (*REPLACE, "replace", ","), ("unique", "k", "on_conflict", "sometimes"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused(shop: Shop, options: tuple[str | int, ...]) -> None:
    with pytest.raises(ProtocolError):
        shop.put("x", *options)
    assert shop.count("enqueued") == 0
