"""What the inner loop must hold, without a server: on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from streamq.app import App
from streamq.context import Context, current_job
from streamq.errors import BadPayload, SoftTimeout
from streamq.handlers import CallNext
from streamq.worker.verdict import Stop
from workbench import Workbench, drive, make_app

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default=None)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Runs a coroutine; nothing may have escaped to the loop."""
    factory = None if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    escaped: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: escaped.append(context))

        def run_(coroutine: Coroutine[Any, Any, Workbench]) -> Workbench:
            return runner.run(coroutine)

        yield run_
    assert not escaped


@pytest.fixture
def app() -> App:
    return make_app()


def test_context_variables_of_one_job_are_not_seen_by_the_next(run: Any, app: App) -> None:
    seen: list[Any] = []

    @app.task
    async def sets(i: int) -> None:
        seen.append(variable.get())
        variable.set(i)

    @app.task
    async def sets_and_waits(i: int) -> None:
        seen.append(variable.get())
        variable.set(i)
        await asyncio.sleep(0)
        assert variable.get() == i

    @app.task
    def sets_in_thread(i: int) -> None:
        seen.append(variable.get())
        variable.set(i)

    names = ["sets", "sets_and_waits", "sets_in_thread"]
    work = run(drive(app, lambda work: [work.row(names[i % 3], i) for i in range(300)]))
    assert set(work.endings.values()) == {"done"}
    assert seen == [None] * 300


def test_a_job_that_waits_has_a_task_of_its_own_and_its_children_are_its_own(run: Any, app: App) -> None:
    tasks: set[Any] = set()

    @app.task
    async def waits(i: int) -> int:
        task = asyncio.current_task()
        await asyncio.sleep(0.001)
        assert asyncio.current_task() is task
        tasks.add(task)
        return i

    @app.task
    async def has_children(i: int) -> int:
        mine = current_job.get()
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            children = [group.create_task(asyncio.sleep(0, i)) for _ in range(2)]
        running = current_job.get()
        assert running is mine
        assert running is not None
        assert running.id.endswith(f"-{i}")
        return children[0].result() + children[1].result()

    work = run(drive(app, lambda work: [work.row("waits", i) for i in range(200)]))
    assert len(tasks) == 200
    work = run(drive(app, lambda work: [work.row("has_children", i) for i in range(200)]))
    assert sorted(work.results.values()) == [2 * i for i in range(200)]


def test_a_timeout_inside_a_handler_is_the_handlers_own(run: Any, app: App) -> None:
    @app.task
    async def limits_itself() -> str:
        try:
            async with asyncio.timeout(0.02):
                await asyncio.sleep(5)
        except TimeoutError:
            return "late"
        return "early"

    work = run(drive(app, lambda work: [work.row("limits_itself") for _ in range(30)]))
    assert set(work.results.values()) == {"late"}


def test_late_handlers_are_ended_and_others_are_not(run: Any, app: App) -> None:
    cleaned: list[int] = []

    @app.task(timeout=0.1)
    async def hangs(i: int) -> None:
        try:
            await asyncio.sleep(5)
        finally:
            cleaned.append(i)

    @app.task
    async def quick(i: int) -> None:
        await asyncio.sleep(0.001)

    work = run(drive(app, lambda work: [work.row(["hangs", "quick"][i % 2], i) for i in range(40)], slots=5))
    assert Counter(work.endings.values()) == {"retry": 20, "done": 20}
    assert len(cleaned) == 20


def test_a_soft_timeout_is_an_error_inside_the_handler_that_it_may_catch(run: Any, app: App) -> None:
    @app.task(timeout=5, soft_timeout=0.25)
    async def tidies_up() -> str:
        try:
            await asyncio.sleep(5)
        except SoftTimeout as error:
            await asyncio.sleep(0)
            return str(error)
        return "not late"

    @app.task(timeout=5, soft_timeout=0.25)
    def tidies_up_in_thread() -> str:
        try:
            while True:
                time.sleep(0.005)
        except SoftTimeout as error:
            return str(error)

    def jobs(work: Workbench) -> list[Any]:
        return [work.row(["tidies_up", "tidies_up_in_thread"][i % 2]) for i in range(10)]

    due = {"the soft timeout of 0.25 s is over; the handler has 4.75 s to tidy up"}
    assert set(run(drive(app, jobs)).results.values()) == due

    @app.middleware
    async def layer(ctx: Context, call_next: CallNext) -> Any:
        return await call_next()

    assert set(run(drive(app, jobs)).results.values()) == due


def test_a_late_thread_below_a_layer_ends_before_its_job_does(run: Any, app: App) -> None:
    ends: list[str] = []

    @app.middleware
    async def layer(ctx: Context, call_next: CallNext) -> Any:
        return await call_next()

    @app.task(timeout=0.05, attempts=1)
    def tidies_slowly() -> None:
        try:
            time.sleep(0.1)
            ends.append("not interrupted")
        finally:
            time.sleep(0.2)
            ends.append("tidied")

    async def during(work: Workbench) -> None:
        await work.until_ended(1)
        assert ends == ["tidied"]

    work = run(drive(app, lambda work: [work.row("tidies_slowly")], during=during))
    assert set(work.endings.values()) == {"dead"}


def test_a_late_thread_is_interrupted_and_the_next_job_is_not(run: Any, app: App) -> None:
    @app.task(timeout=0.1, attempts=1)
    def spins() -> None:
        while True:
            time.sleep(0.005)

    @app.task
    def quick(i: int) -> int:
        return i

    work = run(
        drive(app, lambda work: [work.row("spins"), *(work.row("quick", i) for i in range(50))], slots=1)
    )
    assert Counter(work.endings.values()) == {"dead": 1, "done": 50}


def test_a_thread_that_cannot_be_interrupted_makes_the_bench_hung(
    run: Any, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamq.worker.threads.GRACE", 0.1)
    go_on = threading.Event()

    @app.task(timeout=0.05)
    def deaf() -> None:
        go_on.wait(1)

    async def look() -> Workbench:
        work = Workbench(app)
        await work.open()
        work.put(work.row("deaf"))
        while not work.bench.hung:
            work.bench.scan(time.monotonic())
            await asyncio.sleep(0.005)
        assert not go_on.is_set()
        go_on.set()
        work.bench.threads.close()
        return work

    run(asyncio.wait_for(look(), 5))


def test_a_running_job_is_cancelled_once_and_its_neighbours_go_on(run: Any, app: App) -> None:
    contexts: list[Context] = []

    @app.task
    async def long(ctx: Context, i: int) -> None:
        contexts.append(ctx)
        await asyncio.sleep(0.2)

    async def during(work: Workbench) -> None:
        while len(contexts) < 10:
            await asyncio.sleep(0.005)
        running = [seat.row[0] for seat in work.bench.seats()]
        assert [work.bench.cancel(b"5", entry) for entry in running[:4]] == [True] * 4
        assert not work.bench.cancel(b"5", running[0])
        assert not work.bench.cancel(b"4", running[5])
        assert not work.bench.cancel(b"5", b"1-1")

    work = run(drive(app, lambda work: [work.row("long", i) for i in range(30)], during=during))
    assert Counter(work.endings.values()) == {"cancelled": 4, "done": 26}
    assert sum(ctx.cancelled for ctx in contexts) == 4


def test_a_cancellation_that_a_job_leaves_behind_does_not_hit_the_next_one(run: Any, app: App) -> None:
    @app.task
    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    @app.task
    async def waits() -> None:
        await asyncio.sleep(0)

    @app.task(timeout=0.05)
    async def swallows() -> str:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            return "swallowed"
        return "not late"

    names = ["cancels_itself", "waits", "swallows"]
    work = run(drive(app, lambda work: [work.row(names[i % 3]) for i in range(90)]))
    assert set(work.endings.values()) == {"done"}
    assert not work.bench.hung


def test_whatever_a_handler_raises_is_an_ending(run: Any, app: App) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    raisable: list[BaseException] = [
        ValueError("x"),
        Odd(),
        SystemExit(1),
        KeyboardInterrupt(),
        KeyError("k"),
        StopAsyncIteration(),
        asyncio.CancelledError(),
    ]

    @app.task
    async def raises(i: int) -> None:
        if i % 2:
            await asyncio.sleep(0)
        raise raisable[i % len(raisable)]

    @app.task
    def raises_in_thread(i: int) -> None:
        raise raisable[i % len(raisable)]

    names = ["raises", "raises_in_thread"]
    work = run(drive(app, lambda work: [work.row(names[i // 7 % 2], i) for i in range(140)]))
    assert Counter(work.endings.values()) == {"retry": 140}


def test_what_cannot_be_run_is_parked_or_dead_with_its_reason(run: Any, app: App) -> None:
    @app.task
    async def takes_one(a: int) -> None: ...

    @app.task
    async def fails_inside() -> None:
        int([])  # type: ignore[call-overload]

    @app.task
    async def reads_what_another_sent() -> None:
        raise BadPayload("the other one's")

    def jobs(work: Workbench) -> list[Any]:
        return [
            work.row("unknown"),
            work.row("takes_one", body=b"\x01\xff\xff"),
            work.row("takes_one", body=b""),
            work.row("takes_one", body=b"\x77zz"),
            work.row("takes_one", 1, 2, 3),
            work.row("fails_inside"),
            work.row("reads_what_another_sent"),
        ]

    work = run(drive(app, jobs))
    found = [
        work.verdicts[entry] for entry in sorted(work.verdicts, key=lambda entry: int(entry.split("-")[1]))
    ]
    outcomes = [ending.verdict.outcome for ending in found]
    assert outcomes == ["park", "dead", "dead", "dead", "dead", "retry", "retry"]
    assert [ending.verdict.reason for ending in found][1:5] == [*["bad payload"] * 3, "arguments do not fit"]


def test_jobs_with_records_know_their_attempt_and_large_bodies_are_fetched(run: Any, app: App) -> None:
    @app.task
    async def tells_attempt(ctx: Context) -> tuple[int, str]:
        return ctx.attempt, ctx.id

    @app.task
    async def large(n: int) -> int:
        return n

    @app.task
    def large_in_thread(n: int) -> int:
        return n

    def jobs(work: Workbench) -> list[Any]:
        body = app.payloads.pack("default", "tells_attempt", (), {})
        return [
            (b"9-1", b"@", [b"5-7-0", b"tells_attempt", body, 2, b"7"]),
            (b"9-2", b"@", [b"5-7-1", b"large", None, 0, b"7"]),
            (b"9-3", b"@", [b"5-7-2", b"large_in_thread", None, 0, b"7"]),
        ]

    work = run(drive(app, jobs))
    assert work.results == {"9-1": (3, "default-5-7-0"), "9-2": 1, "9-3": 1}


def test_middleware_hooks_and_contexts_stand_around_sync_and_async_handlers(run: Any, app: App) -> None:
    trace: list[str] = []

    @app.middleware
    async def outer(ctx: Context, call_next: Any) -> object:
        trace.append(f"outer {ctx.task}")
        return await call_next()

    @app.middleware
    async def inner(ctx: Context, call_next: Any) -> object:
        return [await call_next()]

    @app.task
    async def on_loop(ctx: Context, a: int) -> int:
        ctx.progress(0.5)
        return a

    @app.task
    def in_thread(a: int) -> str:
        return threading.current_thread().name

    class Hooked:
        async def started(self, ctx: Context) -> None:
            trace.append("started")

        def completed(self, ctx: Context, result: int) -> None:
            trace.append(f"completed {result}")

        def failed(self, ctx: Context, error: BaseException) -> None:
            trace.append(f"failed {error}")

        def handle(self, a: int) -> int:
            return 1 // a

    app.add(Hooked, name="hooked")
    work = run(
        drive(app, lambda work: [work.row("on_loop", 1), work.row("in_thread", 1), work.row("hooked", 1)])
    )
    assert list(map(str, work.results.values())) == ["[1]", "['streamq']", "[1]"]
    assert work.told == [{"fraction": 0.5, "note": ""}]
    assert trace == ["outer on_loop", "outer in_thread", "outer hooked", "started", "completed 1"]
    trace.clear()
    work = run(drive(app, lambda work: [work.row("hooked", 0)]))
    assert trace[-1] == "failed integer division or modulo by zero"
    assert list(work.endings.values()) == ["retry"]


def test_the_loop_turns_beside_a_flood_of_small_jobs(run: Any, app: App) -> None:
    @app.task
    async def nothing() -> None: ...

    turns = 0

    async def during(work: Workbench) -> None:
        nonlocal turns
        while len(work.outbox) < 20_000:
            await asyncio.sleep(0)
            turns += 1

    run(drive(app, lambda work: [work.row("nothing") for _ in range(20_000)], during=during))
    assert turns >= 5


def test_no_more_than_the_slots_run_at_a_time(run: Any, app: App) -> None:
    running, most = 0, 0

    @app.task
    async def counted() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1

    @app.task
    def counted_in_thread() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.002)
        running -= 1

    names = ["counted", "counted_in_thread"]
    run(drive(app, lambda work: [work.row(names[i % 2]) for i in range(100)], slots=4))
    assert 2 <= most <= 4


def test_what_is_running_and_waiting_is_on_the_page_and_can_be_taken_back(run: Any, app: App) -> None:
    @app.task
    async def long() -> None:
        await asyncio.sleep(5)

    async def scene() -> Workbench:
        work = Workbench(app, slots=2)
        await work.open()
        rows = [work.row("long") for _ in range(6)]
        work.put(*rows)
        while work.bench.running < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        assert sorted(work.page.sections[0].started()) == sorted(f"5-{row[0].decode()}" for row in rows[:2])
        assert work.page.earliest_deadline() - time.monotonic() == pytest.approx(300, abs=5)
        assert len(work.bench.held(work.consumer)) == 6
        assert len(work.bench.withdraw(lambda row, lot: True)) == 4
        work.bench.end(Stop.SHUTDOWN)
        await work.until_ended(2)
        assert set(work.endings.values()) == {"release"}
        assert not work.page.sections[0].started()
        assert work.page.earliest_deadline() == float("inf")
        return work

    run(scene())
