"""What holds on every engine, through the operations of a queue."""

from __future__ import annotations

from typing import Any, cast

import pytest

from drivers import Driver
from streamq.config import Config, Durability
from streamq.engines.factory import open_engine
from streamq.errors import JobNotFound, LimitExceeded, ProtocolError, StaleCall, UniqueConflict, WrongState
from streamq.protocol.consume import Taken, handed_out, plain, settle
from streamq.protocol.enqueue import Enqueued, NewJob
from streamq.protocol.keys import reply_key
from streamq.protocol.results import read_push
from streamq.queue import Queue

MAIL = NewJob("send", b"body")


class Worker:
    """A consumer that takes and settles by hand."""

    def __init__(self, driver: Driver, queue: Queue) -> None:
        self.driver, self.queue = driver, queue
        self.consumer = driver.run(queue.register(30_000, "test")).consumer

    def take(self, n: int = 1) -> list[tuple[str, str, list[Any]]]:
        """Level, entry and row of each delivery."""
        return deliveries(self.driver.run(self.queue.pop(self.consumer, n)))

    def settle(self, outcome: str, level: str, entry: str, *pairs: str | int | bytes) -> Any:
        return self.driver.run(self.queue.settle(self.consumer, settle(outcome, level, entry, pairs)))


def deliveries(taken: Taken) -> list[tuple[str, str, list[Any]]]:
    levels = handed_out(taken.groups)
    return [(level.decode(), row[0].decode(), [row[1], row[2]]) for level, rows in levels for row in rows]


@pytest.fixture
def worker(driver: Driver, queue: Queue) -> Worker:
    return Worker(driver, queue)


@pytest.fixture(autouse=True)
def conserved(driver: Driver, queue: Queue) -> Any:
    """At the end of every test each job is in exactly one place."""
    yield
    assert driver.run(queue.conservation()).difference == 0


def push(driver: Driver, queue: Queue, *jobs: NewJob) -> list[str]:
    return driver.run(queue.push(jobs)).ids


def depth(driver: Driver, queue: Queue, name: str) -> int:
    return int(driver.run(queue.stats())[name])


def test_a_job_goes_in_comes_out_once_and_is_completed(driver: Driver, queue: Queue, worker: Worker) -> None:
    (job,) = push(driver, queue, MAIL)
    ((level, entry, row),) = worker.take(10)
    assert (f"{level}-{entry}", row) == (job, [b"send", b"body"])
    assert worker.take(10) == []
    done = driver.run(queue.settle(worker.consumer, plain(level, [entry], "a line")))
    assert done.refused == []
    assert (depth(driver, queue, "completed"), depth(driver, queue, "active")) == (1, 0)


def test_settling_and_taking_are_one_call(driver: Driver, queue: Queue, worker: Worker) -> None:
    push(driver, queue, MAIL, MAIL)
    ((level, entry, _),) = worker.take(1)
    taken = driver.run(queue.pop(worker.consumer, 5, settlements=plain(level, [entry])))
    assert len(deliveries(taken)) == 1
    assert depth(driver, queue, "completed") == 1


def test_a_body_comes_back_byte_for_byte(driver: Driver, queue: Queue, worker: Worker) -> None:
    bodies = [bytes(range(256)), b"", b"\r\n$-1\r\n", b"x" * 8_000]
    push(driver, queue, *(NewJob("send", body) for body in bodies))
    assert [row[1] for _, _, row in worker.take(10)] == bodies


def test_a_thousand_jobs_are_one_call_and_come_out_in_order(
    driver: Driver, queue: Queue, worker: Worker
) -> None:
    ids = push(driver, queue, *(NewJob("send", str(i).encode()) for i in range(1000)))
    assert len(set(ids)) == 1000
    first, second = worker.take(500), worker.take(500)
    assert [row[1] for _, _, row in first + second] == [str(i).encode() for i in range(1000)]


def test_calls_that_are_sent_ahead_are_answered_in_their_order(
    config: Config, queue: Queue, worker: Worker
) -> None:
    engine = open_engine(config)
    calls = [
        queue.push([NewJob("send", str(n).encode())], producer="p" * 32, channel=n % 2, seq=n)
        for n in range(50)
    ]
    answers = [cast("Enqueued", answer) for answer in engine.run_each(calls)]
    engine.close()
    taken = worker.take(100)
    assert [f"{level}-{entry}" for level, entry, _ in taken] == [answer.ids[0] for answer in answers]
    assert [row[1] for _, _, row in taken] == [str(n).encode() for n in range(50)]


def test_the_most_urgent_level_is_served_first(driver: Driver, queue: Queue, worker: Worker) -> None:
    push(driver, queue, NewJob("low", b"", 1), NewJob("high", b"", 9), NewJob("middle", b"", 5))
    assert [row[0] for _, _, row in worker.take(10)] == [b"high", b"middle", b"low"]


def test_a_repeated_enqueue_adds_nothing_and_an_older_one_is_refused(driver: Driver, queue: Queue) -> None:
    first = driver.run(queue.push([MAIL], producer="p" * 32, channel=1, seq=1))
    assert driver.run(queue.push([MAIL], producer="p" * 32, channel=1, seq=1)) == first
    driver.run(queue.push([MAIL], producer="p" * 32, channel=1, seq=2))
    with pytest.raises(StaleCall):
        driver.run(queue.push([MAIL], producer="p" * 32, channel=1, seq=1))
    assert depth(driver, queue, "enqueued") == 2


def test_a_unique_key_has_one_holder(driver: Driver, queue: Queue, worker: Worker) -> None:
    (holder,) = push(driver, queue, NewJob("send", b"", options=("unique", "k")))
    again = driver.run(queue.push([NewJob("send", b"", options=("unique", "k"))]))
    assert again.existing == {0: holder}
    with pytest.raises(UniqueConflict, match=holder):
        push(driver, queue, NewJob("send", b"", options=("unique", "k", "on_conflict", "reject")))


def test_a_released_job_is_taken_at_once_by_another(driver: Driver, queue: Queue, worker: Worker) -> None:
    push(driver, queue, MAIL)
    ((level, entry, _),) = worker.take()
    driver.run(queue.release(worker.consumer, level, entry))
    assert len(Worker(driver, queue).take()) == 1


def test_a_retried_job_waits_until_it_is_promoted(driver: Driver, queue: Queue, worker: Worker) -> None:
    (job,) = push(driver, queue, MAIL)
    ((level, entry, _),) = worker.take()
    worker.settle("retry", level, entry, "delay", 60_000, "error", "boom")
    assert worker.take() == []
    assert driver.run(queue.explain(job))[0].startswith("retrying")
    assert driver.run(queue.promote(job))
    ((_, _, row),) = worker.take()
    assert (row[0], row[1][:3]) == (b"@", [job.encode(), b"send", b"body"])


def test_a_delayed_job_is_given_when_it_is_due(driver: Driver, worker: Worker) -> None:
    then, later = Queue("mail", now=2_000_000_000_000), Queue("mail", now=2_000_000_060_000)
    driver.run(then.push([NewJob("send", b"", options=("delay", 60_000))]))
    consumer = driver.run(then.register()).consumer
    assert deliveries(driver.run(then.pop(consumer, 1))) == []
    driver.run(later.renew([consumer]))
    assert len(deliveries(driver.run(later.pop(consumer, 1)))) == 1


def test_a_dead_job_is_listed_retried_and_dropped(driver: Driver, queue: Queue, worker: Worker) -> None:
    jobs = push(driver, queue, MAIL, MAIL)
    for level, entry, _ in worker.take(2):
        worker.settle("dead", level, entry, "reason", "why", "error", "boom")
    assert {one.id for one in driver.run(queue.list_jobs("dead")).jobs} == set(jobs)
    assert driver.run(queue.job(jobs[0]))["reason"] == "why"
    assert driver.run(queue.retry(jobs[0]))
    assert driver.run(queue.drop(jobs[1]))
    assert depth(driver, queue, "dead") == 0
    assert len(worker.take(5)) == 1


def test_all_dead_jobs_are_retried_by_task(driver: Driver, queue: Queue, worker: Worker) -> None:
    push(driver, queue, NewJob("a", b""), NewJob("b", b""), NewJob("a", b""))
    for level, entry, _ in worker.take(3):
        worker.settle("dead", level, entry, "reason", "why")
    assert driver.follow(queue.retry_all(task="a")) == 2
    assert depth(driver, queue, "dead") == 1


@pytest.mark.parametrize("what", ["pending", "delayed", "dead"])
def test_a_purge_removes_one_kind_only(driver: Driver, queue: Queue, worker: Worker, what: str) -> None:
    push(driver, queue, MAIL, MAIL, MAIL)
    ((level, entry, _),) = worker.take(1)
    worker.settle("dead", level, entry, "reason", "why")
    push(driver, queue, NewJob("send", b"", options=("delay", 60_000)))
    before = {name: depth(driver, queue, name) for name in ("pending", "delayed", "dead")}
    assert before == {"pending": 2, "delayed": 1, "dead": 1}
    assert driver.follow(queue.purge(what)) == before[what]
    assert {name: depth(driver, queue, name) for name in before} == {**before, what: 0}


def test_a_queue_is_removed_when_it_has_neither_jobs_nor_workers(
    driver: Driver, queue: Queue, worker: Worker
) -> None:
    push(driver, queue, MAIL)
    with pytest.raises(WrongState, match="1 pending"):
        driver.run(queue.remove())
    ((level, entry, _),) = worker.take()
    worker.settle("done", level, entry)
    with pytest.raises(WrongState, match="1 worker serves"):
        driver.run(queue.remove())
    driver.run(queue.retire(worker.consumer))
    assert driver.run(queue.remove())
    assert depth(driver, queue, "completed") == 0
    assert not driver.run(queue.remove())
    push(driver, queue, MAIL)
    assert depth(driver, queue, "pending") == 1


def test_a_waiting_job_is_cancelled_and_a_running_one_is_asked(
    driver: Driver, queue: Queue, worker: Worker
) -> None:
    waiting, running = push(driver, queue, NewJob("send", b"", 1), NewJob("send", b"", 9))
    ((level, entry, _),) = worker.take(1)
    assert driver.run(queue.cancel(waiting)) == "CANCELLED"
    assert driver.run(queue.cancel(running)) == "ASKED"
    assert driver.run(queue.cancel("5-1-1")) == "GONE"
    told = driver.run(queue.pop(worker.consumer, 0))
    assert told.commands == [f"cancel {level} {entry}"]
    worker.settle("cancelled", level, entry)
    assert worker.take() == []
    assert depth(driver, queue, "cancelled") == 2


def test_a_paused_queue_gives_nothing_until_it_is_resumed(
    driver: Driver, queue: Queue, worker: Worker
) -> None:
    driver.run(queue.pause("at night"))
    push(driver, queue, MAIL)
    assert worker.take() == []
    driver.run(queue.resume())
    assert len(worker.take()) == 1


def test_a_lost_workers_job_goes_to_another_and_its_late_answer_is_refused(
    driver: Driver, queue: Queue, worker: Worker
) -> None:
    push(driver, queue, MAIL)
    ((level, entry, _),) = worker.take()
    assert driver.run(queue.abandon(worker.consumer)) == 1
    assert [one[1] for one in Worker(driver, queue).take()] == [entry]
    late = driver.run(queue.settle(worker.consumer, plain(level, [entry])))
    assert late.refused == [(level, entry)]
    assert depth(driver, queue, "completed") == 0


def test_a_lease_that_is_over_gives_the_job_back(driver: Driver) -> None:
    clock = 2_000_000_000_000
    first, middle, later = (Queue("mail", now=clock + step) for step in (0, 10_000, 25_000))
    driver.run(first.push([MAIL]))
    gone, stays = (driver.run(first.register(20_000)).consumer for _ in range(2))
    assert len(deliveries(driver.run(first.pop(gone, 1)))) == 1
    assert driver.run(middle.renew([stays], 20_000)).status == ["ok"]
    for step in (
        12_000,
        14_000,
        16_000,
        18_000,
        20_000,
        22_000,
    ):  # small steps: a leap of the clock would give grace
        driver.run(Queue("mail", now=clock + step).renew([stays], 20_000))
    assert len(deliveries(driver.run(later.pop(stays, 1)))) == 1
    assert driver.run(later.renew([gone], 20_000)).status == ["gone"]


def test_who_waits_for_a_result_is_pushed_it(driver: Driver, queue: Queue, worker: Worker) -> None:
    (job,) = push(driver, queue, MAIL)
    key = reply_key(queue.anchor, "abc")
    ((level, entry, _),) = worker.take()
    assert driver.run(queue.wait(job, key)).status == "waiting"
    worker.settle("done", level, entry, "result", b"\x00\xffresult")
    pushed = driver.receive(key, 5.0)
    assert pushed is not None
    assert read_push(pushed) == (job, ("completed", b"\x00\xffresult"))
    assert driver.receive(key, 0.01) is None


def test_looking_tells_of_workers_and_of_what_they_do(driver: Driver, queue: Queue, worker: Worker) -> None:
    push(driver, queue, MAIL)
    ((level, entry, _),) = worker.take()
    (seen,) = driver.run(queue.workers())
    assert (seen.consumer, seen.state, seen.active, seen.about) == (worker.consumer, "clean", 1, "test")
    (active,) = driver.run(queue.list_jobs("active")).jobs
    assert (active.id, active.fields["owner"]) == (f"{level}-{entry}", worker.consumer)


def test_a_refused_call_is_a_typed_error_and_changes_nothing(driver: Driver, queue: Queue) -> None:
    push(driver, queue, MAIL)
    with pytest.raises(LimitExceeded):
        push(driver, queue, *[MAIL] * 1001)
    with pytest.raises(ProtocolError):
        push(driver, queue, NewJob("send", b"", 11))
    with pytest.raises(JobNotFound):
        driver.run(queue.drop("5-1-1"))
    assert depth(driver, queue, "enqueued") == 1


def test_no_more_durability_is_claimed_than_the_server_has(driver: Driver, queue: Queue) -> None:
    kept = driver.run_durably(queue.push([MAIL]), Durability.AOF)
    assert len(kept.value.ids) == 1
    assert kept.reached is (Durability.AOF if _keeps_aof(driver) else Durability.MEMORY)


def _keeps_aof(driver: Driver) -> bool:
    try:
        return b"aof_enabled:1" in driver.command("INFO", "persistence")
    except ProtocolError:  # memory:// has no INFO
        return False


def test_who_paused_and_resumed_a_queue_is_in_its_audit_log(driver: Driver, queue: Queue) -> None:
    push(driver, queue, MAIL)
    driver.run(queue.pause("too many bounces"))
    driver.run(queue.resume())
    changes = driver.run(queue.audit())
    assert [change.what for change in changes] == ["resumed the queue", "paused the queue: too many bounces"]
    assert driver.run(queue.audit(1)) == changes[:1]


def test_a_struck_job_waits_for_the_strike_and_runs_when_it_is_lifted(
    driver: Driver, queue: Queue, worker: Worker
) -> None:
    where = {"to": "x", "note": "a b"}
    assert driver.run(queue.strike("s1", "send", where, note="why", by="anna"))
    assert not driver.run(queue.strike("s1", "send", where))
    [job] = push(driver, queue, MAIL)
    [(level, entry, _)] = worker.take()
    worker.settle("strike", level, entry, "reason", "s1")
    [strike] = driver.run(queue.strikes())
    assert (strike.task, strike.where, strike.until_ms, strike.waiting) == ("send", where, None, 1)
    assert "struck: send where note=a b and to=x, until it is lifted (strike s1): why" in driver.run(
        queue.explain(job)
    )
    with pytest.raises(WrongState, match="lift that, and it runs"):
        driver.run(queue.promote(job))
    assert driver.run(queue.unstrike("s1"))
    assert [level for level, _, _ in worker.take()] == [level]
    assert driver.run(queue.strikes()) == []


def test_a_job_whose_deadline_is_past_is_not_given_and_says_why(
    driver: Driver, queue: Queue, worker: Worker
) -> None:
    [job] = push(driver, queue, NewJob("send", b"body", 5, ("deadline", 1)))
    assert worker.take() == []
    ending = driver.run(queue.wait(job, reply_key(queue.anchor, "1")))
    assert (ending.status, (ending.payload or b"").startswith(b"its deadline was ")) == ("expired", True)
    assert depth(driver, queue, "expired") == 1
