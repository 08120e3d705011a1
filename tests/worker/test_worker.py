"""A worker inside a program, on a real server: what its jobs see, and what holds when the server or the wire fails."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from deaf_proxy import DeafProxy
from inside import counted, stats, until, working
from servers import Server
from streamq.app import App
from streamq.context import Context
from streamq.errors import JobFailed, StreamqError
from streamq.events import Event
from streamq.handlers import CallNext
from streamq.outcomes import Dead, Retry, Snooze
from streamq.protocol.enqueue import NewJob
from streamq.resources import resource
from streamq.worker import Limits


@pytest.fixture
def app(server: Server) -> Iterator[App]:
    with App(server.url) as made:
        yield made


def test_who_waits_for_a_plain_job_gets_its_result_and_nothing_is_kept(app: App, server: Server) -> None:
    all_wait = threading.Event()

    @app.task(result_ttl=None)
    async def slow(n: int) -> int:
        await asyncio.to_thread(all_wait.wait)
        return n

    @app.task(result_ttl=None)
    def in_thread(n: int) -> int:
        all_wait.wait()
        return n

    async def scene() -> None:
        async with working(app):
            jobs = [await task.aenqueue(i) for i in range(5) for task in (slow, in_thread)]
            results = asyncio.gather(*(job.aresult(timeout=10) for job in jobs))
            while await asyncio.to_thread(server.raw.hlen, "sq:{default}:waiters") < len(jobs):
                await asyncio.sleep(0.01)
            all_wait.set()
            assert await results == [i // 2 for i in range(10)]
            await counted(app, completed=10, active=0)

    asyncio.run(scene())


def test_a_result_is_there_for_who_asks_a_moment_later_and_none_is_not_missed(app: App) -> None:
    @app.task
    async def double(n: int) -> int:
        return 2 * n

    @app.task
    async def nothing() -> None: ...

    async def scene() -> None:
        async with working(app):
            jobs = [await double.aenqueue(4), await nothing.aenqueue()]
            await counted(app, completed=2)
            assert [await job.aresult(timeout=5) for job in jobs] == [8, None]

    asyncio.run(scene())


def test_a_handler_says_how_its_run_ends_and_attempts_are_counted(app: App) -> None:
    attempts: list[int] = []

    @app.task(attempts=3, result_ttl="1m")
    async def changes_its_mind(ctx: Context) -> int:
        attempts.append(ctx.attempt)
        if len(attempts) == 1:
            raise Snooze(0.01)
        if len(attempts) == 2:
            raise Retry(0.01)
        if len(attempts) == 3:
            raise ValueError("not yet")
        return ctx.attempt

    @app.task
    async def gives_up() -> None:
        raise Dead("card is stolen")

    @app.task(attempts=2, backoff=0.01)
    def fails() -> None:
        raise ValueError("no such order")

    async def scene() -> None:
        async with working(app):
            job = await changes_its_mind.using(backoff=0.01).aenqueue()
            assert await job.aresult(timeout=10) == 3
            assert attempts == [1, 1, 2, 3]
            dead = await gives_up.aenqueue()
            failed = await fails.aenqueue()
            await counted(app, completed=1, dead=2)
            assert (await dead.ainfo()).error == "Dead: card is stolen"
            assert "ValueError: no such order" in (await failed.ainfo()).error

    asyncio.run(scene())


def test_a_job_that_code_of_another_one_cancelled_spends_no_attempt_and_one_that_cancels_itself_fails(
    app: App,
) -> None:
    tasks: list[asyncio.Task[Any] | None] = []
    seen: list[str] = []

    @app.task(attempts=1)
    async def waits(ctx: Context) -> int:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(60 if len(tasks) == 1 else 0)
        return ctx.attempt

    @app.task(attempts=1)
    async def cancels(itself: bool) -> None:
        seen.append("itself" if itself else "others")
        task = asyncio.current_task() if itself else tasks[0]
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async def scene() -> None:
        async with working(app):
            victim = await waits.aenqueue()
            await until(lambda: asyncio.sleep(0, len(tasks)))
            await cancels.aenqueue(False)
            assert await victim.aresult(timeout=10) == 1
            with pytest.raises(JobFailed, match="CancelledError"):
                await (await cancels.aenqueue(True)).aresult(timeout=10)
            assert seen == ["others", "itself", "itself"]
            await counted(app, completed=2, dead=1)

    asyncio.run(scene())


def test_an_unknown_task_is_parked_until_a_worker_knows_it(app: App, server: Server) -> None:
    @app.task
    async def known() -> None: ...

    with App(server.url) as newer:

        @newer.task(result_ttl="1m")
        async def new_one() -> str:
            return "done"

        async def scene() -> None:
            async with working(app):
                with capture_logs() as lines:
                    job = new_one.enqueue()
                    await counted(app, delayed=1, dead=0)
                assert "this worker does not know the task 'new_one'" in job.explain()
                [parked] = [line for line in lines if line["event"].startswith("job.")]
                assert (parked["event"], parked["task"], parked["job"]) == ("job.parked", "new_one", job.id)
            async with working(newer):
                assert await job.aresult(timeout=10) == "done"

        asyncio.run(scene())


def test_a_large_payload_and_a_large_result_come_through(app: App) -> None:
    @app.task(result_ttl="1m")
    async def echo(text: str) -> str:
        return text

    @app.task(result_ttl="1m")
    def echo_in_thread(text: str) -> str:
        return text

    async def scene() -> None:
        text = "".join(chr(33 + i * 7919 % 90) for i in range(200_000))
        async with working(app):
            assert await (await echo.aenqueue(text)).aresult(timeout=10) == text
            assert await (await echo_in_thread.aenqueue(text)).aresult(timeout=10) == text

    asyncio.run(scene())


def test_a_result_that_cannot_be_sent_is_a_failure_that_says_so(app: App) -> None:
    @app.task(result_ttl="1m")
    async def returns_a_lock() -> object:
        return asyncio.Lock()

    @app.task(result_ttl=None)
    async def keeps_nothing() -> object:
        return asyncio.Lock()

    events: list[Event] = []
    app.on("job.dead", "job.completed")(events.append)

    async def scene() -> None:
        async with working(app):
            with pytest.raises(JobFailed, match="result"):
                await (await returns_a_lock.aenqueue()).aresult(timeout=10)
            jobs = [await returns_a_lock.aenqueue(), await keeps_nothing.aenqueue()]
            jobs.append(await keeps_nothing.using(delay=0.01).aenqueue())
            await counted(app, dead=4, completed=0, active=0)
            assert [(await job.ainfo()).reason for job in jobs] == ["its result cannot be sent"] * 3

    asyncio.run(scene())
    assert [event.name for event in events] == ["job.dead"] * 4


@pytest.mark.parametrize("layers", [0, 1])
def test_a_job_of_another_language_whose_arguments_are_of_other_types_is_a_dead_letter_at_once(
    app: App, layers: int
) -> None:
    ran: list[object] = []

    async def layer(ctx: Context, call_next: Callable[[], Awaitable[Any]]) -> Any:
        return await call_next()

    for _ in range(layers):
        app.middleware(layer)

    @app.task
    async def on_loop(left: int, right: int = 0) -> None:
        ran.append(left)

    @app.task
    def in_thread(left: int, raw: bytes = b"") -> None:
        ran.append(raw)

    async def scene() -> None:
        async with working(app):
            for task, body in (
                ("on_loop", b'[["1"]]'),
                ("in_thread", b'[["1"]]'),
                ("on_loop", b"[[1, 2, 3]]"),
                ("on_loop", b"[[7]]"),
                ("in_thread", b'[[1], {"raw": "aGk="}]'),
            ):
                await app.arun(app.queue().push([NewJob(task, body)]))
            await counted(app, dead=3, completed=2)
            page = await app.arun(app.queue().list_jobs("dead"))
            told = [(row.fields["reason"], row.fields["error"]) for row in page.jobs]
            assert sorted(told) == [
                (
                    "arguments do not fit",
                    "TypeError: on_loop() takes from 1 to 2 positional arguments but 3 were given",
                ),
                (
                    "bad payload",
                    "BadPayload: in_thread: argument 'left' does not fit int: Expected `int`, got `str`",
                ),
                (
                    "bad payload",
                    "BadPayload: on_loop: argument 'left' does not fit int: Expected `int`, got `str`",
                ),
            ]

    asyncio.run(scene())
    assert sorted(map(str, ran)) == ["7", "b'hi'"]


def test_progress_and_parts_are_seen_while_the_job_runs(app: App) -> None:
    @app.task
    async def reports(ctx: Context) -> None:
        ctx.progress(0.4, "half way")
        ctx.partial([1, 2])
        await asyncio.sleep(60)

    @app.task
    def reports_in_thread(ctx: Context) -> None:
        ctx.progress(0.9, "nearly")
        while not ctx.cancelled:
            time.sleep(0.01)

    async def scene() -> None:
        async with working(app, limits=Limits(timeout=0)):
            job, threaded = await reports.aenqueue(), await reports_in_thread.aenqueue()

            async def told() -> bool:
                with contextlib.suppress(StreamqError):
                    return (await job.aprogress()).note == "half way" and (
                        await threaded.aprogress()
                    ).fraction == 0.9
                return False

            await until(told)
            assert (await job.aprogress()).partial == [1, 2]
            assert await job.acancel()
            assert await threaded.acancel()
            await counted(app, active=0)

    asyncio.run(scene())


def test_resources_are_opened_once_and_closed_and_lifespans_stand_around(app: App) -> None:
    trace: list[str] = []

    @app.resource
    async def pool() -> AsyncIterator[dict[str, int]]:
        trace.append("open")
        yield {"n": 7}
        trace.append("close")

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        trace.append("begin")
        yield
        trace.append("end")

    the_pool = resource(pool)

    @app.task(result_ttl="1m")
    async def uses(a: int, db: dict[str, int] = the_pool) -> int:
        return a + db["n"]

    async def scene() -> None:
        async with working(app):
            assert await (await uses.aenqueue(1)).aresult(timeout=10) == 8
            assert await (await uses.aenqueue(2)).aresult(timeout=10) == 9

    asyncio.run(scene())
    assert trace == ["begin", "open", "close", "end"]


def test_an_observer_that_a_timeout_interrupts_does_not_swallow_it(app: App) -> None:
    @app.on("job.started")
    def hangs(event: Event) -> None:
        while True:
            time.sleep(0.01)

    @app.task(timeout=0.1, attempts=1)
    def never_begins() -> None: ...

    async def scene() -> None:
        async with working(app):
            with pytest.raises(JobFailed, match="0.1 s"):
                await (await never_begins.aenqueue()).aresult(timeout=10)

    asyncio.run(scene())


def test_a_middleware_that_exits_fails_its_job_and_ends_no_worker(app: App) -> None:
    @app.middleware
    async def exits(ctx: Context, call_next: CallNext) -> object:
        if ctx.task == "fails":
            raise SystemExit(3)
        return await call_next()

    @app.task(name="fails", attempts=1)
    async def fails() -> None: ...

    @app.task
    async def works() -> int:
        return 7

    async def scene() -> None:
        async with working(app):
            with pytest.raises(JobFailed, match="SystemExit"):
                await (await fails.aenqueue()).aresult(timeout=10)
            assert await (await works.aenqueue()).aresult(timeout=10) == 7

    asyncio.run(scene())


def test_observers_are_told_what_happens(app: App) -> None:
    events: list[Event] = []
    app.on(
        "job.started",
        "job.completed",
        "job.retrying",
        "job.dead",
        "job.cancelled",
        "worker.started",
        "worker.stopped",
    )(events.append)

    @app.task(attempts=2, backoff=0.01)
    async def fails() -> None:
        raise ValueError("no")

    @app.task
    async def works() -> None: ...

    async def scene() -> None:
        async with working(app):
            await works.aenqueue()
            await fails.aenqueue()
            await counted(app, completed=1, dead=1)

    asyncio.run(scene())
    names = [event.name for event in events]
    assert (names[0], names[-1]) == ("worker.started", "worker.stopped")
    assert sorted(names[1:-1]) == ["job.completed", "job.dead", "job.retrying", *["job.started"] * 3]
    assert all(event.job and event.task for event in events[1:-1])


def test_an_idle_worker_starts_a_job_when_it_is_due(app: App) -> None:
    started: list[float] = []

    @app.task
    async def timed() -> None:
        started.append(time.time())

    async def scene() -> None:
        async with working(app):
            await counted(app, idle=1)
            due = time.time() + 0.5
            await timed.using(delay=0.5).aenqueue()
            await counted(app, completed=1)
            assert started[0] >= due
            assert started[0] < due + 2

    asyncio.run(scene())


def test_statistics_are_told_to_the_server(app: App) -> None:
    @app.task
    async def works() -> None: ...

    async def scene() -> None:
        async with working(app):
            for _ in range(20):
                await works.aenqueue()
            await counted(app, completed=20)
        async with app:
            minute = int(time.time() // 60)
            found = await app.arun(app.queue().minutes(minute - 1, minute))
        counts = {name: count for one in found for name, count in one.counts.items()}
        assert counts["ended:works:completed"] == 20
        for kind in ("run", "wait"):
            assert sum(count for name, count in counts.items() if name.startswith(f"{kind}:works:")) == 20

    asyncio.run(scene())


def test_long_jobs_are_not_hoarded(app: App, server: Server) -> None:
    @app.task
    async def long() -> None:
        await asyncio.sleep(0.1)

    app.enqueue_many([long.call() for _ in range(40)])

    async def scene() -> None:
        async with working(app, concurrency=2):
            most = 0

            async def done() -> bool:
                nonlocal most
                found = await stats(app)
                most = max(most, found["active"])
                return found["completed"] >= 20

            await until(done)
            assert most <= 4

    asyncio.run(scene())


def test_a_lost_reply_of_a_take_loses_no_job_and_runs_none_twice(valkey: Server) -> None:
    runs: list[int] = []
    with DeafProxy(valkey.socket) as proxy, App(proxy.url) as app, App(valkey.url) as direct:

        @app.task
        async def counts(i: int) -> None:
            runs.append(i)
            await asyncio.sleep(0.002)

        sender = direct.task(counts.fn)

        async def scene() -> None:
            async with direct, working(app, concurrency=10):
                for i in range(300):
                    if i % 60 == 0:
                        proxy.lose(b"sq1_take")
                    await sender.aenqueue(i)
                    if i % 60 == 0:
                        while proxy.lost <= i // 60:
                            await asyncio.sleep(0.005)
                await counted(direct, completed=300, active=0, pending=0)

        asyncio.run(scene())
    assert sorted(runs) == list(range(300))


def test_a_server_that_is_killed_and_comes_back_finds_its_worker_again(tmp_path: Any) -> None:
    runs: list[int] = []
    with Server("valkey", aof=True, extra=("--appendfsync", "always")) as server, App(server.url) as app:

        @app.task
        async def counts(i: int) -> None:
            runs.append(i)
            await asyncio.sleep(0.3)

        async def scene() -> None:
            async with working(app):
                for i in range(10):
                    await counts.aenqueue(i)
                while len(runs) < 10:
                    await asyncio.sleep(0.005)
                server.kill()
                await asyncio.sleep(0.5)
                server.start()
                await counted(app, completed=10, active=0)

        asyncio.run(scene())
    assert sorted(set(runs)) == list(range(10))


def test_a_worker_whose_lease_cannot_be_renewed_ends_its_jobs_before_others_may_own_them() -> None:
    ended: list[tuple[float, bool]] = []
    with Server("valkey") as server, App(server.url, lease=1.0) as app:

        @app.task
        async def long(ctx: Context) -> None:
            if ended:
                return
            try:
                await asyncio.sleep(60)
            finally:
                ended.append((time.monotonic(), ctx.cancelled))

        async def scene() -> None:
            async with working(app):
                await long.aenqueue()
                await counted(app, active=1)
                server.signal(signal.SIGSTOP)
                stopped = time.monotonic()
                while not ended:
                    await asyncio.sleep(0.01)
                at, knew = ended[0]
                assert knew
                assert at - stopped < 1.0
                server.signal(signal.SIGCONT)
                await counted(app, completed=1, active=0)

        asyncio.run(scene())


def test_an_ending_that_the_server_refuses_holds_up_no_other(app: App, server: Server) -> None:
    @app.task(attempts=2, backoff=0.01)
    async def fails() -> None:
        await asyncio.sleep(0.2)
        raise ValueError("no")

    @app.task(result_ttl="1m")
    async def works(i: int) -> int:
        await asyncio.sleep(0.2)
        return i

    async def scene() -> None:
        async with working(app):
            spoiled = await fails.aenqueue()
            jobs = [await works.aenqueue(i) for i in range(5)]
            await counted(app, active=6)
            record = f"sq:{{default}}:job:{spoiled.id.removeprefix('default-')}"
            server.raw.set(record, "a stranger put this here")
            assert await asyncio.gather(*(job.aresult(timeout=10) for job in jobs)) == list(range(5))
            server.raw.delete(record)

    with capture_logs() as lines:
        asyncio.run(scene())
    assert [line for line in lines if line["event"] == "job.cannot_be_settled"]


def test_each_queue_has_slots_of_its_own(app: App) -> None:
    running, most = {"mail": 0, "images": 0}, {"mail": 0, "images": 0}

    async def work(queue: str) -> None:
        running[queue] += 1
        most[queue] = max(most[queue], running[queue])
        await asyncio.sleep(0.02)
        running[queue] -= 1

    @app.task(queue="mail")
    async def send() -> None:
        await work("mail")

    @app.task(queue="images")
    async def paint() -> None:
        await work("images")

    async def scene() -> None:
        async with working(app, queues={"mail": 5, "images": 1}):
            await app.aenqueue_many([task.call() for _ in range(20) for task in (send, paint)])
            for queue in running:

                async def is_done(queue: str = queue) -> bool:
                    return (await app.arun(app.queue(queue).stats()))["completed"] == "20"

                await until(is_done)

    asyncio.run(scene())
    assert most == {"mail": 5, "images": 1}
