"""Putting jobs in and asking for them, through the public surface, on a real Valkey and a real Redis."""

import asyncio
import contextlib
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from deaf_proxy import DeafProxy
from servers import Server, until
from streamq import (
    App,
    Debounce,
    Job,
    JobFailed,
    JobNotFound,
    Progress,
    ResultGone,
    ResultTimeout,
    State,
    Task,
    Throttle,
    Unique,
    UniqueConflict,
    WrongCall,
)
from streamq.errors import Cancelled, ConnectionLost, ServerUnavailable
from streamq.protocol import Argument, consume

Double = Task[[int], int]


class Delivery(NamedTuple):
    """A job in the hands of a worker."""

    level: str
    entry: str
    job: str
    n: int


class HandWorker:
    """Takes and settles by hand, so that a test decides what happens to a job, and when."""

    def __init__(self, app: App, queue: str = "mail") -> None:
        self._app, self._queue = app, app.queue(queue)
        self._name = app.run(self._queue.register()).consumer

    def take(self, n: int = 500) -> list[Delivery]:
        groups = self._app.run(self._queue.pop(self._name, n)).groups
        levels = consume.handed_out(groups)
        return [self._delivery(level.decode(), *row) for level, rows in levels for row in rows]

    def settle(self, outcome: str, taken: Delivery, *pairs: Argument) -> None:
        settlement = consume.settle(outcome, taken.level, taken.entry, pairs)
        assert self._app.run(self._queue.settle(self._name, settlement)).refused == []

    def complete(self, taken: Delivery, value: object, *pairs: Argument) -> None:
        result = self._app.payloads.pack_result(self._queue.name, "double", value, taken.job)
        self.settle("done", taken, "result", result, *pairs)

    def progress(self, taken: Delivery, *pairs: Argument) -> None:
        at = (taken.level, taken.entry)
        assert self._app.run(consume.progress(self._queue.anchor, 0, self._name, 0, at, taken.job, pairs))

    def _delivery(self, level: str, entry: bytes, task: bytes, value: Any) -> Delivery:
        local, body = f"{level}-{entry.decode()}".encode(), value
        if task == consume.RECORD:
            local, task, body = value[:3]
        args = self._app.payloads.unpack(self._queue.name, task.decode(), body).args
        return Delivery(level, entry.decode(), local.decode(), args[0])


@pytest.fixture
def app(server: Server) -> Iterator[App]:
    with App(server.url) as made:
        yield made


@pytest.fixture
def double(app: App) -> Double:
    return declare(app)


def declare(app: App) -> Double:
    @app.task(queue="mail")
    def double(n: int) -> int:
        return 2 * n

    return double


def numbers(app: App) -> Counter[int]:
    """The arguments of all jobs that wait in the queue."""
    worker, found = HandWorker(app), Counter[int]()
    while taken := worker.take():
        found.update(delivery.n for delivery in taken)
    return found


def test_an_id_says_where_the_job_is(app: App, double: Double) -> None:
    job = double.enqueue(1)
    queue, level, ms, seq = job.id.split("-")
    assert (queue, level) == ("mail", "5")
    assert ms.isdigit()
    assert seq.isdigit()
    assert app.job(job.id) == job
    assert job.status() is State.PENDING
    assert double.using(queue="a-b", priority=9).enqueue(1).id.startswith("a-b-9-")


def test_a_delayed_job_is_scheduled_and_known_by_its_time(double: Double) -> None:
    job = double.using(delay="5m", tags=["import"]).enqueue(1)
    info = job.info()
    assert (info.state, info.task, info.tags) == (State.SCHEDULED, "double", ("import",))
    assert info.due_ms is not None
    assert 295_000 < info.due_ms - datetime.now(UTC).timestamp() * 1000 <= 300_000
    assert job.explain().startswith("scheduled\ndue in ")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert double.using(at=tomorrow).enqueue(2).info().due_ms == round(tomorrow.timestamp() * 1000)


def test_a_unique_job_is_put_in_once(app: App, double: Double) -> None:
    once = double.using(unique=Unique(by="n"))
    first = once.enqueue(1)
    assert once.enqueue(1) == first
    assert once.enqueue(2) != first
    with pytest.raises(UniqueConflict) as caught:
        double.using(unique=Unique(by="n", on_conflict="reject")).enqueue(1)
    assert f"mail-{caught.value.holder}" == first.id
    assert numbers(app) == {1: 1, 2: 1}


def test_a_debounced_job_is_one_for_all_its_callers(app: App, double: Double) -> None:
    quiet = double.using(debounce=Debounce("2m", by="n", longest="5m"))
    first = quiet.enqueue(1)
    assert quiet.enqueue(1) == first != quiet.enqueue(2)
    assert first.explain().startswith("scheduled\ndebounced: runs in 1")
    assert ", at the latest in " in first.explain()
    assert quiet.using(debounce=None).enqueue(1) != first


def test_in_a_window_all_calls_get_the_first_job(app: App, double: Double) -> None:
    rare = double.using(throttle=Throttle("1h", by="n"))
    assert len({rare.enqueue(n % 2) for n in range(6)}) == 2
    assert numbers(app) == {0: 1, 1: 1}


def test_one_call_waits_for_the_running_one_and_is_the_last(app: App, double: Double) -> None:
    latest, worker = double.using(unique=Unique(on_conflict="latest")), HandWorker(app)
    running = latest.enqueue(1)
    (taken,) = worker.take()
    follower = latest.enqueue(2)
    assert asyncio.run(latest.aenqueue(3)) == follower
    assert (follower.status(), worker.take()) == (State.WAITING, [])
    assert f"follows {running.id}, which is active" in follower.explain()
    worker.complete(taken, 2)
    (taken,) = worker.take()
    assert (f"mail-{taken.job}", taken.n) == (follower.id, 3)
    worker.complete(taken, 6, "ttl", 60_000)
    assert follower.result(timeout=5) == 6


def test_many_jobs_of_several_queues_keep_their_order(app: App, double: Double) -> None:
    images = double.using(queue="images")
    jobs = app.enqueue_many((images if n % 3 == 0 else double).call(n) for n in range(2500))
    assert len(set(jobs)) == 2500
    assert all(job.id.startswith("images" if n % 3 == 0 else "mail") for n, job in enumerate(jobs))
    worker, found = HandWorker(app), dict[str, int]()
    while taken := worker.take():
        found |= {f"mail-{delivery.job}": delivery.n for delivery in taken}
    assert found == {job.id: n for n, job in enumerate(jobs) if n % 3}


def test_nothing_is_sent_of_many_when_one_call_is_wrong(app: App, double: Double) -> None:
    with pytest.raises(WrongCall):
        app.enqueue_many([double.call(1), double.call("x", n=2)])  # type: ignore[call-arg, arg-type]
    assert numbers(app) == {}


def test_an_error_in_a_later_part_tells_how_many_are_in(app: App, double: Double) -> None:
    reject = double.using(unique=Unique(by="n", on_conflict="reject"))
    reject.enqueue(1500)
    with pytest.raises(UniqueConflict) as caught:
        app.enqueue_many([reject.call(n) for n in range(1501, 4000)] + [reject.call(1500)])
    assert caught.value.__notes__ == [
        "2000 of these 2500 jobs were put in all the same, in calls of their own"
    ]


def test_what_was_under_way_when_a_part_failed_is_heard_and_nothing_more_is_sent(
    app: App, double: Double
) -> None:
    reject = double.using(unique=Unique(by="n", on_conflict="reject"))
    reject.enqueue(500)
    with pytest.raises(UniqueConflict) as caught:
        app.enqueue_many(reject.call(n) for n in range(4000))
    assert caught.value.__notes__ == [
        "1000 of these 4000 jobs were put in all the same, in calls of their own"
    ]
    assert app.run(app.queue("mail").stats())["pending"] == "1001"


def test_each_thread_gets_its_own_job(app: App, double: Double) -> None:
    with ThreadPoolExecutor(16) as pool:
        jobs = dict(enumerate(pool.map(double.enqueue, range(400))))
    worker, found = HandWorker(app), dict[str, int]()
    while taken := worker.take():
        found |= {f"mail-{delivery.job}": delivery.n for delivery in taken}
    assert found == {job.id: n for n, job in jobs.items()}


def test_each_await_gets_its_own_job_and_a_cancelled_one_takes_no_other_along(
    app: App, double: Double
) -> None:
    async def put_in() -> list[Job[int] | BaseException]:
        async with app:
            tasks = [asyncio.create_task(double.aenqueue(n)) for n in range(300)]
            await asyncio.sleep(0)
            for task in tasks[10::10]:
                task.cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = asyncio.run(put_in())
    jobs = {job.id: n for n, job in enumerate(outcomes) if isinstance(job, Job)}
    assert len(jobs) == 271
    worker, found = HandWorker(app), dict[str, int]()
    while taken := worker.take():
        found |= {f"mail-{delivery.job}": delivery.n for delivery in taken}
    assert jobs.items() <= found.items()
    assert len(found) == len(set(found.values()))


def test_a_process_that_forked_puts_in_jobs_of_its_own(app: App, double: Double) -> None:
    double.enqueue(0)
    fork = get_context("fork")
    children = [fork.Process(target=lambda n=n: [double.enqueue(n) for _ in range(50)]) for n in (1, 2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0, 0]
    double.enqueue(0)
    assert numbers(app) == {0: 2, 1: 50, 2: 50}


def test_a_lost_reply_makes_no_second_job(server: Server) -> None:
    with DeafProxy(server.socket) as proxy, App(proxy.url) as app:
        double = declare(app)
        double.enqueue(0)
        proxy.lose(b"sq1_enqueue", 2)
        first = double.enqueue(1)
        proxy.lose(b"sq1_enqueue")
        many = app.enqueue_many(double.call(n) for n in range(2, 100))
        assert proxy.lost == 3
        assert numbers(app) == dict.fromkeys(range(100), 1)
        assert len({first, *many}) == 99


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_lost_replies_among_calls_that_are_sent_ahead_make_no_second_job(server: Server, lost: int) -> None:
    with DeafProxy(server.socket) as proxy, App(proxy.url) as app:
        double = declare(app)
        double.enqueue(0)
        proxy.lose(b"sq1_enqueue", lost)
        many = app.enqueue_many(double.call(n) for n in range(1, 6500))
        assert proxy.lost == lost
        assert len(set(many)) == 6499
        assert numbers(app) == dict.fromkeys(range(6500), 1)


def test_lost_replies_among_concurrent_enqueues_make_no_second_job(server: Server) -> None:
    async def put_in(app: App, double: Double) -> list[Job[int]]:
        async with app:
            await double.aenqueue(0)
            proxy.lose(b"sq1_enqueue", 3)
            return list(await asyncio.gather(*(double.aenqueue(n) for n in range(1, 200))))

    with DeafProxy(server.socket) as proxy:
        app = App(proxy.url)
        jobs = asyncio.run(put_in(app, declare(app)))
        assert proxy.lost == 3
        assert len(set(jobs)) == 199
        assert numbers(app) == dict.fromkeys(range(200), 1)
        app.close()


def test_connections_end_with_their_event_loop(app: App, double: Double, server: Server) -> None:
    before = len(server.raw.client_list())
    for n in range(10):
        asyncio.run(double.aenqueue(n))  # type: ignore[arg-type]
    assert numbers(app) == dict.fromkeys(range(10), 1)
    until(lambda: len(server.raw.client_list()) <= before + 1, "connections are closed")


def test_an_interrupted_enqueue_leaves_no_reply_for_the_next(app: App, double: Double) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    double.enqueue(0)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for n in range(1, 30):
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, n / 20_000)
                app.enqueue_many([double.call(-n)])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    jobs = {double.enqueue(n).id.partition("-")[2]: n for n in range(1, 30)}
    taken = HandWorker(app).take()
    assert {one.job: one.n for one in taken if one.n > 0} == jobs


def test_a_job_that_is_less_safe_than_asked_for_is_in_and_it_is_said(server: Server) -> None:
    with App(server.url, reply_timeout=0.2) as app, capture_logs() as logs:
        double = declare(app)
        job = double.using(durability="replicated").enqueue(1)
        assert job.status() is State.PENDING
    (line,) = [line for line in logs if line["event"] == "durability not reached"]
    assert (line["asked"], line["reached"], line["jobs"]) == ("replicated", "memory", 1)


def test_a_server_that_is_away_is_said_so_with_a_remedy() -> None:
    app = App("redis://127.0.0.1:1")
    with pytest.raises(ServerUnavailable, match="STREAMQ_URL"):
        declare(app).enqueue(1)


def server_waiters(app: App) -> int:
    return int(app._client.engine.command("HLEN", f"{app.queue('mail').anchor}:waiters"))


@contextmanager
def awaiting(job: Job[int], app: App) -> Iterator[list[object]]:
    """Somebody waits for the job in a thread; its outcome is in the list afterwards."""
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(job.result(timeout=20))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not server_waiters(app):
        threading.Event().wait(0.002)
    yield outcome
    thread.join(20)


def test_who_waits_gets_the_result_that_was_not_kept(app: App, double: Double) -> None:
    job, worker = double.using(result_ttl=None).enqueue(4), HandWorker(app)
    with awaiting(job, app) as outcome:
        worker.complete(worker.take()[0], 8)
    assert outcome == [8]
    with pytest.raises(ResultGone, match="result_ttl"):
        job.result()
    assert job.status() is State.COMPLETED  # the log of completions still says so


def test_a_kept_result_is_there_later(app: App, double: Double) -> None:
    job, worker = double.enqueue(4), HandWorker(app)
    worker.complete(worker.take()[0], 8, "ttl", 60_000)
    assert job.status() is State.COMPLETED
    assert job.result() == 8
    assert app.job(job.id).result() == 8


def test_a_failure_is_raised_as_data(app: App, double: Double) -> None:
    job, worker = double.enqueue(4), HandWorker(app)
    with awaiting(job, app) as outcome:
        worker.settle(
            "dead",
            worker.take()[0],
            "reason",
            "failed",
            "error",
            "shop.NoCard: it is: stolen",
            "traceback",
            "line 1",
        )
    (error,) = outcome
    assert isinstance(error, JobFailed)
    assert (error.type_name, error.text, error.traceback) == ("shop.NoCard", "it is: stolen", "line 1")
    assert (job.status(), job.info().error, job.info().reason) == (
        State.DEAD,
        "shop.NoCard: it is: stolen",
        "failed",
    )
    with pytest.raises(JobFailed, match="it is: stolen"):
        job.result()


def test_a_dead_job_runs_again_with_other_arguments(app: App, double: Double) -> None:
    job, worker = double.enqueue(4), HandWorker(app)
    worker.settle("dead", worker.take()[0], "error", "ValueError: 4")
    assert job.retry(double.call(5)) == job
    assert job.status() is State.PENDING
    assert [delivery.n for delivery in worker.take()] == [5]
    with pytest.raises(JobNotFound):
        job.retry()


def test_a_waiting_job_is_cancelled_at_once(app: App, double: Double) -> None:
    job = double.enqueue(4)
    with awaiting(job, app) as outcome:
        assert job.cancel()
    assert isinstance(outcome[0], Cancelled)
    assert not job.cancel()
    assert numbers(app) == {}


def test_what_a_running_job_says_is_seen(app: App, double: Double) -> None:
    job, worker = double.enqueue(4), HandWorker(app)
    (taken,) = worker.take()
    assert job.progress() == Progress()
    part = app.payloads.pack_result("mail", "double", ["half", b"\xff"], taken.job)
    worker.progress(taken, "fraction", "0.5", "note", "half way", "partial", part)
    assert job.progress() == Progress(0.5, "half way", ["half", b"\xff"])
    assert job.status() is State.ACTIVE


def test_waiting_ends_in_time_and_leaves_nothing_behind(app: App, double: Double, server: Server) -> None:
    job = double.enqueue(4)
    with pytest.raises(ResultTimeout, match="It goes on"):
        job.result(timeout=0.05)

    async def wait() -> None:
        async with app:
            with pytest.raises(ResultTimeout):
                await job.aresult(timeout=0.05)

    asyncio.run(wait())
    assert server.raw.exists("sq:{mail}:waiters") == 0


def test_many_wait_for_many_jobs_in_one_process(app: App, double: Double) -> None:
    worker = HandWorker(app)

    async def wait() -> list[int]:
        async with app:
            jobs = await app.aenqueue_many(double.call(n) for n in range(100))
            waiting = [asyncio.create_task(job.aresult(timeout=20)) for job in (*jobs, *jobs)]
            while server_waiters(app) < 100:
                await asyncio.sleep(0.002)
            for delivery in worker.take():
                worker.complete(delivery, delivery.n * 2)
            return list(await asyncio.gather(*waiting))

    assert asyncio.run(wait()) == [2 * n for n in range(100)] * 2


def test_a_lost_answer_is_asked_for_again(server: Server) -> None:
    with DeafProxy(server.socket) as proxy, App(proxy.url) as app, App(server.url) as other:
        job, worker = declare(app).enqueue(4), HandWorker(other)
        with awaiting(job, other) as outcome:
            proxy.go_deaf()
            worker.complete(worker.take()[0], 8, "ttl", 60_000)
        assert outcome == [8]


def test_who_waits_is_told_when_the_app_is_closed(server: Server) -> None:
    app = App(server.url)
    with awaiting(declare(app).enqueue(4), app) as outcome:
        app.close()
    assert isinstance(outcome[0], ConnectionLost)
