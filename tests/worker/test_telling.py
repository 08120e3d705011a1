"""What handlers say of their jobs, and what they return: what cannot be sent is refused in words, and harms nobody else."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from servers import Server
from streamq.app import App
from streamq.context import Context
from streamq.errors import JobFailed, WrongCall
from streamq.worker import Limits, Worker


@pytest.fixture
def app(valkey: Server) -> Iterator[App]:
    with App(valkey.url) as made:
        yield made


@asynccontextmanager
async def working(app: App, concurrency: int = 10) -> AsyncIterator[None]:
    async with app:
        worker = Worker(app, concurrency=concurrency, limits=Limits(timeout=0))
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await asyncio.wait_for(running, 30)


class Odd(dt.tzinfo):
    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        raise LookupError("no such zone")

    def dst(self, moment: dt.datetime | None) -> None:
        return None

    def tzname(self, moment: dt.datetime | None) -> None:
        return None


REFUSED: dict[str, tuple[Callable[[Context], None], str]] = {
    "too far": (lambda ctx: ctx.progress(1.5), "fraction is 1.5; a number from 0 to 1 is due"),
    "no number": (lambda ctx: ctx.progress(float("nan")), "fraction is nan; a number from 0 to 1"),
    "text": (lambda ctx: ctx.progress("0.5"), "fraction is '0.5'; a number"),  # type: ignore[arg-type]
    "no note": (lambda ctx: ctx.progress(0.5, None), "note is of type NoneType; a text is due"),  # type: ignore[arg-type]
    "long note": (lambda ctx: ctx.progress(0.5, "é" * 600), "note has 1,200 bytes, and 1,024 are allowed"),
    "half a letter": (lambda ctx: ctx.progress(0.5, "\ud800"), "note is not valid Unicode"),
    "a lock": (lambda ctx: ctx.partial(threading.Lock()), "the value of ctx.partial of type lock cannot be sent; pass"),
    "a large part": (lambda ctx: ctx.partial(b"x" * 2**21), "ctx.partial is too large: .* has 2,097,15. bytes"),
    "an odd part": (
        lambda ctx: ctx.partial(dt.datetime(2026, 1, 1, tzinfo=Odd())),
        "ctx.partial of type datetime cannot be sent: LookupError: no such zone",
    ),
}  # fmt: skip


def refused(ctx: Context, said: str) -> str:
    """What the handler is told at the call, after which it goes on."""
    with pytest.raises(WrongCall) as refusal:
        REFUSED[said][0](ctx)
    ctx.progress(1.0 + 1e-12, "good")
    return str(refusal.value)


def test_what_a_handler_cannot_say_is_refused_at_the_call_and_it_goes_on(app: App) -> None:
    @app.task
    async def on_loop(ctx: Context, said: str) -> str:
        return refused(ctx, said)

    @app.task
    def in_thread(ctx: Context, said: str) -> str:
        return refused(ctx, said)

    @app.task(isolate=True)
    def in_process(ctx: Context, said: str) -> str:
        return refused(ctx, said)

    async def scene() -> None:
        async with working(app):
            calls = [(task, said) for task in (on_loop, in_thread) for said in REFUSED]
            calls += [(in_process, "no note"), (in_process, "a lock")]
            jobs = [(await task.aenqueue(said), said) for task, said in calls]
            for job, said in jobs:
                told = await job.aresult(timeout=20)
                assert re.search(REFUSED[said][1], told), told

    asyncio.run(scene())


def test_a_part_is_sent_as_it_was_when_it_was_told(app: App) -> None:
    ended = threading.Event()

    @app.task
    def fills(ctx: Context) -> None:
        rows = [1]
        ctx.partial(rows)
        rows.append(2)
        ended.wait(20)

    async def scene() -> None:
        async with working(app):
            job = await fills.aenqueue()
            async with asyncio.timeout(15):
                while (told := await job.aprogress()).partial is None:
                    await asyncio.sleep(0.01)
            ended.set()
            assert told.partial == [1]
            await job.aresult(timeout=10)

    asyncio.run(scene())


def test_a_context_that_outlives_its_job_says_nothing_of_the_next_one(app: App) -> None:
    kept: list[Context] = []
    ended = threading.Event()

    @app.task
    def leaves(ctx: Context) -> None:
        kept.append(ctx)

    @app.task
    def follows(ctx: Context) -> None:
        ctx.progress(0.1, "of this one")
        kept[0].progress(0.9, "of another job")
        ended.wait(20)

    async def scene() -> None:
        async with working(app, concurrency=1):
            await (await leaves.aenqueue()).aresult(timeout=10)
            job = await follows.aenqueue()
            async with asyncio.timeout(15):
                while not (told := await job.aprogress()).note:
                    await asyncio.sleep(0.01)
            ended.set()
            assert told.note == "of this one"

    asyncio.run(scene())


def test_a_result_whose_own_code_fails_while_it_is_packed_fails_its_job_only(app: App) -> None:
    @app.task(attempts=1)
    async def returns_odd() -> dt.datetime:
        return dt.datetime(2026, 1, 1, tzinfo=Odd())

    @app.task
    async def innocent(number: int) -> int:
        return number

    async def scene() -> None:
        async with working(app):
            odd, other = await returns_odd.aenqueue(), await innocent.aenqueue(7)
            with pytest.raises(
                JobFailed, match="its result of type datetime cannot be sent: LookupError: no such zone"
            ):
                await odd.aresult(timeout=10)
            assert await other.aresult(timeout=10) == 7
            assert (await odd.ainfo()).reason == "its result cannot be sent"

    asyncio.run(scene())
