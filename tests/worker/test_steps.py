"""Steps, cursors, signals and sleeps of handlers of every kind: what ran does not run again, and who waits holds no slot."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from deaf_proxy import DeafProxy
from servers import Server
from streamq.app import App
from streamq.config import Config
from streamq.context import Context
from streamq.errors import JobFailed, SignalTimeout, WrongCall, WrongState
from streamq.events import Event
from streamq.handlers import CallNext
from streamq.job import Job
from streamq.options import TaskWords
from streamq.states import State
from streamq.task import Task
from streamq.worker import Limits, Worker


@pytest.fixture
def app(valkey: Server) -> Iterator[App]:
    with App(valkey.url) as made:
        yield made


@contextlib.asynccontextmanager
async def working(app: App, **options: Any) -> AsyncIterator[Worker]:
    """A worker on the running loop, stopped at the end; then the books balance and no journal is left but those of the dead."""
    async with app:
        worker = Worker(app, limits=Limits(timeout=0), **options)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await asyncio.wait_for(running, 30)
        assert (await app.arun(app.queue().conservation())).difference == 0


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.005)


async def becomes(job: Job[Any], state: State) -> None:
    async def is_so() -> bool:
        return await job.astatus() == state

    await until(is_so)


async def counted(app: App) -> dict[str, int]:
    stats = await app.arun(app.queue().stats())
    return {name: int(value) for name, value in stats.items() if value.isdigit()}


@dataclass
class Receipt:
    """A result that msgpack knows as a map."""

    order: int
    lines: tuple[str, ...]


class Notebook:
    """What handlers did, a line each; it outlives processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, line: str) -> None:
        with self.path.open("a") as file:
            file.write(line + "\n")

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []


@pytest.fixture
def notebook(tmp_path: Path) -> Notebook:
    return Notebook(tmp_path / "notebook")


def add_order(app: App, kind: str, notebook: Notebook) -> Task[[int], list[Any]]:
    """A task of two steps that fails between them at first, waits for an approval, and reads rows with a cursor."""
    options: TaskWords = {"attempts": 2, "backoff": 0.01, "isolate": kind.startswith("process")}

    def charge(order: int) -> Receipt:
        notebook.write("charge")
        return Receipt(order, ("a", "b"))

    async def charge_on_loop(order: int) -> Receipt:
        return charge(order)

    async def on_loop(ctx: Context, order: int) -> list[Any]:
        receipt = await ctx.step("charge", charge_on_loop, order)
        if ctx.attempt == 1:
            raise ConnectionError("cut off")
        await ctx.step("ship", notebook.write, "ship")
        approved = await ctx.signal("approved", bool, timeout="1m")
        rows = [row async for row in ctx.cursor("rows", range(5), every=2)]
        return [receipt.order, list(receipt.lines), approved, rows]

    def plain(ctx: Context, order: int) -> list[Any]:
        receipt = ctx.sync.step("charge", charge, order)
        if ctx.attempt == 1:
            raise ConnectionError("cut off")
        ctx.sync.step("ship", notebook.write, "ship")
        approved = ctx.sync.signal("approved", bool, timeout="1m")
        return [
            receipt.order,
            list(receipt.lines),
            approved,
            list(ctx.sync.cursor("rows", range(5), every=2)),
        ]

    if kind == "thread below a layer":

        @app.middleware
        async def passes(ctx: Context, call_next: CallNext) -> object:
            return await call_next()

    if kind.endswith("loop"):
        return app.task(name="order", **options)(on_loop)
    return app.task(name="order", **options)(plain)


@pytest.mark.parametrize("kind", ["loop", "thread", "thread below a layer", "process", "process on a loop"])
def test_finished_steps_are_not_run_again_and_a_signal_ends_the_wait(
    app: App, kind: str, notebook: Notebook
) -> None:
    order = add_order(app, kind, notebook)

    async def main() -> None:
        async with working(app, concurrency=1):
            job = await order.aenqueue(7)
            await becomes(job, State.WAITING)
            assert (await counted(app))["active"] == 0
            info = await job.ainfo()
            assert (info.waits_for, info.attempts) == ("signal approved", 1)
            assert info.steps == ("step charge", "step ship", "until signal approved")
            assert await job.asignal("approved", True)
            assert await job.aresult(timeout=15) == [7, ["a", "b"], True, [0, 1, 2, 3, 4]]

    asyncio.run(main())
    assert notebook.lines == ["charge", "ship"]


def test_steps_run_together_and_each_is_noted(app: App) -> None:
    ran: list[str] = []

    async def slow(name: str) -> str:
        ran.append(name)
        await asyncio.sleep(0.01)
        return name

    @app.task(attempts=2, backoff=0)
    async def many(ctx: Context) -> list[str]:
        names = await asyncio.gather(*(ctx.step(f"s{i}", slow, f"s{i}") for i in range(20)))
        if ctx.attempt == 1:
            raise ConnectionError("cut off")
        return names

    async def main() -> None:
        async with working(app):
            assert await (await many.aenqueue()).aresult(timeout=15) == [f"s{i}" for i in range(20)]

    asyncio.run(main())
    assert sorted(ran) == sorted(f"s{i}" for i in range(20))


def test_a_step_that_runs_beside_a_wait_is_finished_and_noted_first(app: App) -> None:
    ran: list[str] = []

    async def slow(name: str) -> str:
        ran.append(name)
        await asyncio.sleep(0.05)
        return name

    @app.task
    async def both(ctx: Context) -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ctx.step(name, slow, name)) for name in "ab"]
            tasks.append(group.create_task(ctx.signal("go", str)))
        return [task.result() for task in tasks]

    async def main() -> None:
        async with working(app):
            job = await both.aenqueue()
            await becomes(job, State.WAITING)
            await job.asignal("go", "c")
            assert await job.aresult(timeout=15) == ["a", "b", "c"]

    asyncio.run(main())
    assert sorted(ran) == ["a", "b"]


def test_a_step_that_raises_is_not_noted_and_what_it_raised_comes_out(app: App) -> None:
    runs: list[int] = []

    def fails_once() -> int:
        runs.append(1)
        if len(runs) == 1:
            raise StopIteration  # as from a bare next()
        return len(runs)

    @app.task(attempts=2, backoff=0)
    def handler(ctx: Context) -> int:
        return ctx.sync.step("once", fails_once)

    async def main() -> None:
        async with working(app):
            assert await (await handler.aenqueue()).aresult(timeout=15) == 2

    asyncio.run(main())


WRONG: dict[str, tuple[Callable[[Context], Awaitable[Any]], str]] = {
    "a name twice": (lambda ctx: _twice(ctx), "'a' is the name of an earlier step of this run"),
    "no name": (lambda ctx: ctx.step("", int), "name is ''; a text of 1 to 200 bytes is due"),
    "a name of two lines": (lambda ctx: ctx.step("a\nb", int), "must not contain control characters"),
    "a result that cannot be sent": (lambda ctx: ctx.step("a", object), "the value of 'step a' of type object cannot be sent"),
    "a default without a time": (
        lambda ctx: ctx.signal("a", bool, timeout=None, default=True),  # type: ignore[call-overload]
        "a default needs a timeout=",
    ),
    "a key of another type": (
        lambda ctx: _read(ctx.cursor("a", lambda last: [1], key=lambda item: (item,))),
        "would come back as something else",
    ),
    "a source without a key": (
        lambda ctx: _read(ctx.cursor("a", lambda last: [1])),  # type: ignore[call-overload]
        "together with key=",
    ),
    "a wait inside a step": (lambda ctx: ctx.step("a", ctx.sleep, 1), "stands inside a step"),
    "the blocking form on a loop": (lambda ctx: _blocking(ctx), "await ctx.step"),
}  # fmt: skip


async def _twice(ctx: Context) -> None:
    await ctx.step("a", int)
    await ctx.step("a", int)


async def _read(items: AsyncIterator[Any]) -> None:
    async for _ in items:
        pass


async def _blocking(ctx: Context) -> None:
    ctx.sync.step("a", int)


def test_what_cannot_be_meant_is_refused_with_a_remedy(app: App) -> None:
    @app.task(attempts=1)
    async def wrong(ctx: Context, what: str) -> None:
        call, words = WRONG[what]
        with pytest.raises(WrongCall, match=words):
            await call(ctx)

    async def main() -> None:
        async with working(app):
            for what in WRONG:
                await (await wrong.aenqueue(what)).aresult(timeout=15)

    asyncio.run(main())


def test_a_cursor_goes_on_behind_the_last_item_that_was_noted(app: App) -> None:
    seen: list[int] = []
    asked: list[int | None] = []

    async def rows_after(last: int | None) -> AsyncIterator[int]:
        asked.append(last)
        for row in range(0 if last is None else last + 1, 10):
            yield row

    @app.task(attempts=3, backoff=0)
    async def imports(ctx: Context) -> str:
        async for row in ctx.cursor("rows", rows_after, key=lambda row: row, every=2):
            seen.append(row)
            if row == 5 and ctx.attempt == 1:
                raise ConnectionError("cut off in the middle of 5")
        if ctx.attempt == 2:
            raise ConnectionError("cut off behind the end")
        return "read"

    async def main() -> None:
        async with working(app):
            assert await (await imports.aenqueue()).aresult(timeout=15) == "read"

    asyncio.run(main())
    assert asked == [None, 3]
    assert seen == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9]


def test_a_job_that_waits_inside_a_loop_goes_on_at_the_very_item(app: App) -> None:
    seen: list[int] = []

    @app.task
    async def asks(ctx: Context) -> None:
        async for row in ctx.cursor("rows", range(4), every=100):
            seen.append(row)
            if row == 2:
                await ctx.sleep("20ms")

    async def main() -> None:
        async with working(app):
            job = await asks.aenqueue()
            await until(lambda: _completed(app, 1))
            del job

    asyncio.run(main())
    assert seen == [0, 1, 2, 2, 3]


async def _completed(app: App, count: int) -> bool:
    return (await counted(app))["completed"] == count


def test_a_signal_that_does_not_come_is_its_default_or_an_error_and_the_dead_wait_anew(app: App) -> None:
    @app.task
    async def asks(ctx: Context) -> str:
        return await ctx.signal("answer", str, timeout="50ms", default="none")

    @app.task(attempts=5, result_ttl="1m")
    def insists(ctx: Context) -> str:
        return ctx.sync.signal("answer", str, timeout="200ms")

    async def main() -> None:
        async with working(app):
            assert await (await asks.aenqueue()).aresult(timeout=15) == "none"
            job = await insists.aenqueue()
            with pytest.raises(JobFailed, match="SignalTimeout: the signal 'answer' did not come in time"):
                await job.aresult(timeout=15)
            with pytest.raises(WrongState, match="is dead: retry it"):
                await job.asignal("answer", "late")
            await job.aretry()
            await becomes(job, State.WAITING)
            assert await job.asignal("answer", "in time")
            assert not await job.asignal("answer", "a second one")
            assert await job.aresult(timeout=15) == "in time"

    asyncio.run(main())
    assert issubclass(SignalTimeout, TimeoutError)


def test_a_handler_that_swallows_its_suspension_waits_all_the_same(app: App) -> None:
    went_on: list[str] = []

    @app.task
    async def swallows(ctx: Context) -> str:
        try:
            return await ctx.signal("go", str)
        except BaseException:
            with contextlib.suppress(BaseException):
                await ctx.step("after", went_on.append, "after")
            return "swallowed"

    @app.task
    async def groups(ctx: Context) -> str:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(ctx.signal("go", str))
            group.create_task(asyncio.sleep(0))
        return one.result()

    async def main() -> None:
        async with working(app):
            jobs = [await swallows.aenqueue(), await groups.aenqueue()]
            for job in jobs:
                await becomes(job, State.WAITING)
                await job.asignal("go", "went")
                assert await job.aresult(timeout=15) == "went"

    asyncio.run(main())
    assert went_on == []


def test_a_waiting_job_is_told_of_and_can_be_cancelled(app: App) -> None:
    told: list[tuple[str, Any]] = []

    @app.on("job.waiting")
    def hear(event: Event) -> None:
        told.append((event.name, event.fields["waits_for"]))

    failures: list[BaseException] = []

    class Asks:
        async def handle(self, ctx: Context) -> str:
            return await ctx.signal("go", str)

        async def failed(self, ctx: Context, error: BaseException) -> None:
            failures.append(error)

    asks = app.add(Asks)

    async def main() -> None:
        async with working(app):
            job = await asks.aenqueue()
            await becomes(job, State.WAITING)
            assert "waits for signal go" in await job.aexplain()
            assert await job.acancel()
            assert (await counted(app))["cancelled"] == 1

    asyncio.run(main())
    assert (told, failures) == ([("job.waiting", "signal go")], [])


@pytest.mark.parametrize("kind", ["loop", "thread", "thread below a layer", "process", "process on a loop"])
def test_a_late_worker_is_refused_at_its_next_step_and_its_handler_is_ended(
    app: App, kind: str, notebook: Notebook
) -> None:
    async def main() -> None:
        async with working(app):
            job = await late.aenqueue()
            await until(lambda: _has(notebook, "begin"))
            workers = await app.arun(app.queue().workers())
            await app.arun(app.queue().abandon(workers[0].consumer))
            notebook.write("lost")
            await until(lambda: _has(notebook, "second"))
            assert await job.aresult(timeout=15) == "second"

    def wait_until_lost() -> None:
        while "lost" not in notebook.lines:
            time.sleep(0.01)

    async def on_loop(ctx: Context) -> str:
        if "begin" in notebook.lines:
            notebook.write("second")
            return "second"
        notebook.write("begin")
        while "lost" not in notebook.lines:
            await asyncio.sleep(0.01)
        await ctx.step("late", notebook.write, "a late step")
        notebook.write("went on")
        return "first"

    def plain(ctx: Context) -> str:
        if "begin" in notebook.lines:
            notebook.write("second")
            return "second"
        notebook.write("begin")
        wait_until_lost()
        ctx.sync.step("late", notebook.write, "a late step")
        notebook.write("went on")
        return "first"

    isolate = kind.startswith("process")
    late = (
        app.task(name="late", isolate=isolate)(on_loop)
        if kind.endswith("loop")
        else app.task(name="late", isolate=isolate)(plain)
    )
    asyncio.run(main())
    assert "went on" not in notebook.lines
    assert "a late step" not in notebook.lines


async def _has(notebook: Notebook, line: str) -> bool:
    return line in notebook.lines


@pytest.mark.parametrize("isolate", [False, True])
def test_a_journal_that_is_full_fails_its_job_with_a_remedy(app: App, isolate: bool) -> None:
    @app.task(attempts=1, isolate=isolate)
    async def fills(ctx: Context) -> None:
        for number in range(9):
            await ctx.step(f"step {number}", os.urandom, 1_000_000)

    async def main() -> None:
        async with working(app):
            with pytest.raises(
                JobFailed, match="LimitExceeded: .* more than 8388608 bytes, .*: let steps return"
            ):
                await (await fills.aenqueue()).aresult(timeout=15)

    asyncio.run(main())


def test_a_lost_connection_in_the_middle_of_a_step_is_got_over(valkey: Server) -> None:
    ran: list[str] = []
    with DeafProxy(valkey.socket) as proxy, App(proxy.url) as app, App(valkey.url) as direct:

        @app.task(name="steps", result_ttl="1m")
        async def steps(ctx: Context) -> str:
            await ctx.step("one", ran.append, "one")
            await ctx.step("two", ran.append, "two")
            return await ctx.step("three", str, 3)

        async def main() -> None:
            async with working(app), direct:
                with capture_logs():
                    proxy.lose(b"sq1_journal", 2)
                    job = direct.job((await steps.aenqueue()).id)
                    assert await job.aresult(timeout=20) == "3"

        asyncio.run(main())
    assert ran == ["one", "two"]


def test_steps_and_signals_are_sealed_where_payloads_are(valkey: Server) -> None:
    config = Config.load(url=valkey.url, keys="k1:" + "A" * 43 + "=")
    with App(config=config) as app:

        @app.task(attempts=1)
        async def secret(ctx: Context) -> str:
            first = await ctx.step("first", str, "whisper")
            return first + await ctx.signal("second", str)

        async def main() -> None:
            async with working(app):
                job = await secret.aenqueue()
                await becomes(job, State.WAITING)
                local = job.id.removeprefix("default-")
                noted = await app.arun(app.queue().journal(local))
                assert b"whisper" not in noted["step first"]
                await app.arun(app.queue().signal(local, "second", noted["step first"]))
                with pytest.raises(
                    JobFailed, match="BadPayload: the signal second of secret is not authentic"
                ):
                    await job.aresult(timeout=15)
                assert await job.asignal("second", " louder", replace=True)
                assert await (await job.aretry()).aresult(timeout=15) == "whisper louder"

        asyncio.run(main())
