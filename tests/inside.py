"""A worker inside the program of a test, on a real server, and the figures of its queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from streamq.app import App
from streamq.worker import Worker


@contextlib.asynccontextmanager
async def working(app: App, **options: Any) -> AsyncIterator[Worker]:
    """A worker on the running loop, stopped at the end."""
    async with app:
        worker = Worker(app, **options)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await asyncio.wait_for(running, 30)


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.005)


async def stats(app: App) -> dict[str, int]:
    return {name: int(value) for name, value in (await app.arun(app.queue().stats())).items()}


async def counted(app: App, **expected: int) -> None:
    """Wait until the counters say so, and the books balance."""

    async def agrees() -> bool:
        found = await stats(app)
        return all(found[name] == count for name, count in expected.items())

    try:
        await until(agrees)
    except TimeoutError:
        raise AssertionError(f"{expected} was due, there is {await stats(app)}") from None
    assert (await app.arun(app.queue().conservation())).difference == 0
