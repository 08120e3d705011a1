"""Journals and signals on every engine, through the operations of a queue; time is the test's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from drivers import Driver
from streamq.errors import JobNotFound, LimitExceeded, ProtocolError, WrongState
from streamq.protocol.consume import Taken, handed_out, plain, settle
from streamq.protocol.enqueue import NewJob
from streamq.protocol.journal import Ask, Awaited, Delivery, asked, await_, journal, recall
from streamq.queue import Queue

NOW = 1_800_000_000_000
LEASE = 30_000


class Desk:
    """A consumer that runs one job at a time, and the time."""

    def __init__(self, driver: Driver) -> None:
        self.driver, self.queue = driver, Queue("mail", now=NOW)
        self.consumer = self.run(self.queue.register(LEASE)).consumer
        self.level = self.entry = self.job = ""

    def run(self, call: Any) -> Any:
        return self.driver.run(call)

    def push(self, **pairs: str | int) -> str:
        [job] = self.run(
            self.queue.push([NewJob("task", b"body", 5, [p for pair in pairs.items() for p in pair])])
        ).ids
        return str(job)

    def take(self) -> bool:
        """Whether there was a job to take."""
        self.run(self.queue.renew([self.consumer], LEASE))
        taken: Taken = self.run(self.queue.pop(self.consumer))
        for level, rows in handed_out(taken.groups):
            entry, task, value = rows[0]
            self.level, self.entry = level.decode(), entry.decode()
            self.job = value[0].decode() if task == b"@" else f"{self.level}-{self.entry}"
        return bool(taken.groups)

    def ask(self, ask: Ask) -> Any:
        delivery = Delivery(self.queue.anchor, self.consumer, 0, self.level, self.entry, self.job)
        call = asked(delivery, ask)
        call.args = (self.queue.now, *call.args[1:])
        return self.run(call)

    def settle(self, outcome: str, *pairs: str | int | bytes) -> None:
        settlement = settle(outcome, self.level, self.entry, pairs)
        assert self.run(self.queue.settle(self.consumer, settlement)).refused == []

    def state(self, job: str) -> str:
        return str(self.run(self.queue.job(job)).get("state", "nowhere"))

    def counters(self) -> dict[str, str]:
        stats: dict[str, str] = self.run(self.queue.stats())
        return stats

    def keys(self) -> list[bytes]:
        keys: list[bytes] = self.driver.command("KEYS", "*:steps:*")
        return keys


@pytest.fixture
def desk(driver: Driver) -> Any:
    """At the end, each job is in exactly one place, and the switches agree with what there is."""
    made = Desk(driver)
    yield made
    assert made.run(made.queue.conservation()).difference == 0
    switches = driver.command("HMGET", f"{made.queue.anchor}:meta", "journals", "suspended")
    assert [int(count or 0) for count in switches] == [len(made.keys()), int(made.counters()["waiting"])]


@pytest.mark.parametrize("outcome", ["ok", "done", "dead", "cancelled"])
def test_a_journal_outlives_a_retry_and_goes_with_its_job(desk: Desk, outcome: str) -> None:
    job = desk.push()
    desk.take()
    assert desk.ask(recall()) == {}
    assert desk.ask(journal("step charge", b"\x01\x2a")) is True
    if outcome != "ok":
        desk.settle("retry", "delay", 0)
        assert desk.take()
    assert desk.ask(recall()) == {"step charge": b"\x01\x2a"}
    assert desk.run(desk.queue.job(job))["steps"] == "step charge"
    if outcome == "ok":
        assert desk.run(desk.queue.settle(desk.consumer, plain(desk.level, [desk.entry]))).refused == []
    else:
        desk.settle(outcome, "error", "E: x") if outcome == "dead" else desk.settle(outcome)
    assert bool(desk.keys()) is (outcome == "dead")
    if outcome == "dead":
        desk.run(desk.queue.retry(job))
        assert desk.take()
        assert desk.ask(recall()) == {"step charge": b"\x01\x2a"}
        desk.settle("dead", "error", "E: x")
        desk.run(desk.queue.retry(job, ("task", b"other")))
        assert not desk.keys(), "the steps of other arguments"
        assert desk.take()
        desk.ask(journal("step charge", b"x"))
        desk.settle("dead", "error", "E: x")
        desk.run(desk.queue.drop(job))
        assert not desk.keys()


def test_who_lost_the_delivery_can_neither_read_nor_write_nor_wait(desk: Desk) -> None:
    desk.push()
    desk.take()
    desk.ask(journal("step one", b"x"))
    desk.run(desk.queue.abandon(desk.consumer))
    for ask in (
        recall(),
        journal("step two", b"x"),
        await_("signal", "go", None, fails=False),
        await_("sleep", "1", 5, fails=False),
    ):
        assert desk.ask(ask) is None
    desk.consumer = desk.run(desk.queue.register(LEASE)).consumer
    assert desk.take()
    assert desk.ask(recall()) == {"step one": b"x"}


def test_a_journal_is_bounded_in_entries_and_in_bytes(desk: Desk) -> None:
    desk.push()
    desk.take()
    large = b"x" * 1_000_000
    for number in range(8):
        desk.ask(journal(f"step {number}", large))
    with pytest.raises(LimitExceeded, match="8388608 bytes"):
        desk.ask(journal("step 9", large))
    desk.ask(journal("step 0", b"x"))
    assert desk.ask(journal("step 9", large)), "what is overwritten does not count any more"
    for number in range(10, 1001):
        desk.ask(journal(f"step {number}", b"x"))
    with pytest.raises(LimitExceeded, match="1000 entries"):
        desk.ask(journal("step 1001", b"x"))


def test_a_job_that_waits_has_no_slot_and_runs_again_when_its_signal_comes(desk: Desk) -> None:
    job = desk.push(expires=60_000)
    desk.take()
    desk.ask(journal("step charge", b"x"))
    assert desk.ask(await_("signal", "approved", 5000, fails=False)) == Awaited("waits", None)
    desk.settle("wait", "for", "signal approved")
    assert (desk.state(job), desk.counters()["waiting"], desk.counters()["active"]) == ("waiting", "1", "0")
    assert desk.run(desk.queue.explain(job))[:2] == [
        "waiting",
        "waits for signal approved, until 2027-01-15 08:00:05 UTC, which is in 5.0 s",
    ]
    assert [row.id for row in desk.run(desk.queue.list_jobs("suspended")).jobs] == [job]
    desk.queue.now += 4999
    assert not desk.take()
    assert desk.run(desk.queue.signal(job, "approved", b"yes")) is True
    assert (desk.state(job), desk.counters()["waiting"]) == ("pending", "0")
    desk.queue.now += 10**9  # it has begun: it does not expire
    assert desk.take()
    assert desk.run(desk.queue.job(job)).get("attempt", "0") == "0"
    assert desk.ask(await_("signal", "approved", 5000, fails=False)) == Awaited("value", b"yes")
    desk.settle("done")
    assert not desk.keys()


def test_the_first_value_of_a_signal_stands_unless_it_is_replaced(desk: Desk) -> None:
    job = desk.push()
    assert desk.run(desk.queue.signal(job, "approved", b"yes")) is True
    assert desk.run(desk.queue.signal(job, "approved", b"no")) is False
    desk.take()
    assert desk.ask(await_("signal", "approved", None, fails=False)) == Awaited("value", b"yes")
    assert desk.run(desk.queue.signal(job, "approved", b"no", replace=True)) is True
    assert desk.ask(await_("signal", "approved", None, fails=False)) == Awaited("value", b"no")
    assert desk.run(desk.queue.journal(job)) == {"signal approved": b"no"}


def test_a_signal_between_the_question_and_the_settlement_is_not_slept_over(desk: Desk) -> None:
    job = desk.push()
    desk.take()
    desk.ask(await_("signal", "approved", None, fails=False))
    desk.run(desk.queue.signal(job, "approved", b"yes"))
    desk.settle("wait", "for", "signal approved")
    assert desk.take()
    assert desk.job == job


@pytest.mark.parametrize("otherwise", ["default", "failed"])
def test_a_wait_that_is_over_stays_so_and_a_late_signal_is_refused(desk: Desk, otherwise: str) -> None:
    job = desk.push()
    desk.take()
    question = await_("signal", "approved", 100, fails=otherwise == "failed")
    desk.ask(question)
    desk.settle("wait", "for", "signal approved")
    desk.queue.now += 100
    assert desk.take()
    assert desk.ask(question) == Awaited("over", None)
    with pytest.raises(WrongState, match="its time was over"):
        desk.run(desk.queue.signal(job, "approved", b"yes"))
    desk.queue.now -= 50  # somebody sets the clock back
    assert desk.ask(question) == Awaited("over", None)
    desk.settle("dead", "error", "E: x")
    with pytest.raises(WrongState, match="dead"):
        desk.run(desk.queue.signal(job, "approved", b"yes"))
    desk.run(desk.queue.retry(job))
    desk.take()
    assert desk.ask(question).status == ("over" if otherwise == "default" else "waits")


def test_the_time_limit_counts_from_the_first_question(desk: Desk) -> None:
    desk.push()
    desk.take()
    desk.ask(await_("sleep", "1", 1000, fails=False))
    desk.queue.now += 600
    desk.settle("retry", "delay", 0)
    desk.take()
    desk.ask(await_("sleep", "1", 1000, fails=False))
    desk.settle("wait", "for", "sleep 1")
    desk.queue.now += 399
    assert not desk.take()
    assert desk.run(desk.queue.explain(desk.job))[1].startswith("sleeps, until ")
    assert desk.counters()["next_due"] == str(NOW + 1000)
    desk.queue.now += 1
    assert desk.take()
    assert desk.ask(await_("sleep", "1", 1000, fails=False)).status == "over"


CANCELS: dict[str, Callable[[Desk, str], Any]] = {
    "cancel": lambda desk, job: desk.run(desk.queue.cancel(job)),
    "purge": lambda desk, job: desk.driver.follow(desk.queue.purge("suspended")),
}


@pytest.mark.parametrize("how", CANCELS)
def test_a_waiting_job_can_be_cancelled_and_purged(desk: Desk, how: str) -> None:
    job = desk.push()
    desk.take()
    desk.ask(await_("signal", "approved", None, fails=True))
    desk.settle("wait", "for", "signal approved")
    assert desk.run(desk.queue.explain(job))[1] == "waits for signal approved, for as long as it takes"
    assert CANCELS[how](desk, job) in ("CANCELLED", 1)
    assert (desk.state(job), desk.keys(), desk.counters()["cancelled"]) == ("cancelled", [], "1")
    with pytest.raises(JobNotFound, match="cancelled"):
        desk.run(desk.queue.signal(job, "approved", b"yes"))


def test_a_queue_with_waiting_jobs_cannot_be_removed(desk: Desk) -> None:
    desk.push()
    desk.take()
    desk.ask(await_("signal", "approved", None, fails=True))
    desk.settle("wait", "for", "signal approved")
    desk.run(desk.queue.retire(desk.consumer))
    with pytest.raises(WrongState, match="1 waiting"):
        desk.run(desk.queue.remove())


def test_a_job_that_is_asked_to_stop_does_not_begin_to_wait(desk: Desk) -> None:
    job = desk.push()
    desk.take()
    desk.ask(await_("signal", "approved", None, fails=True))
    desk.run(desk.queue.cancel(job))
    desk.settle("wait", "for", "signal approved")
    assert (desk.state(job), desk.keys()) == ("cancelled", [])


def test_a_signal_for_nobody_is_refused(desk: Desk) -> None:
    with pytest.raises(JobNotFound, match="unknown"):
        desk.run(desk.queue.signal("5-1-0", "approved", b"yes"))
    job = desk.push()
    for name in ("", "a\nb", "x" * 201):
        with pytest.raises((ProtocolError, LimitExceeded)):
            desk.run(desk.queue.signal(job, name, b"yes"))
