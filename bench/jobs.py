"""The app that the measurements run: jobs that do nothing, so that all that is left is the queue; or next to nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from functools import cache
from typing import TYPE_CHECKING

from streamq import App, Context, Limit

if TYPE_CHECKING:
    import redis

app = App()
_notes: defaultdict[str, list[float]] = defaultdict(list)


@cache
def _ledger() -> redis.Redis:
    """Loaded by those jobs alone that write to it: its import would be most of a worker's memory."""
    import redis

    return redis.Redis.from_url(os.environ["STREAMQ_URL"])


@app.lifespan
async def notes() -> AsyncIterator[None]:
    """What handlers note goes to the server when the process ends: sent job by job it would be a part of what is measured."""
    timer = asyncio.create_task(_timer()) if "BENCH_TIMER" in os.environ else None
    yield
    if timer:
        timer.cancel()
    for kind, values in _notes.items():
        for start in range(0, len(values), 10_000):
            _ledger().rpush(f"bench:{kind}", *[f"{value:.6f}" for value in values[start : start + 10_000]])


async def _timer() -> None:
    """Notes, beside the handlers on their loop, when each sleep of 1 ms was over, and how many ms late."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        _notes["timer_at"].append(time.time())
        _notes["timer_late"].append((time.perf_counter() - began) * 1e3 - 1)


@app.task
async def noop(text: str) -> None:
    """Nothing, on the loop."""


PLENTY = "100_000_000/s burst 100_000_000"  # of tokens: buckets that are never empty are what a measurement of costs is for


@app.task(lane="tenant", limits=[Limit("provider", PLENTY)])
async def tenant_noop(tenant: str, text: str) -> None:
    """Nothing, behind a lane and a bucket."""


@app.task
def noop_sync(text: str) -> None:
    """Nothing, in a thread."""


@app.task
async def pause(seconds: float) -> None:
    """Wait on the loop."""
    await asyncio.sleep(seconds)


@app.task
def spin(seconds: float) -> None:
    """Use the processor, in a thread, for so long a time of its own."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@app.task
async def stamp(sent: float) -> None:
    """How long after ``sent`` (time.time()) it was started, in ms, on a list at once."""
    late = (time.time() - sent) * 1e3
    _ledger().rpush("bench:late", f"{late:.4f}")


@app.task
async def note(kind: str, sent: float, seconds: float) -> None:
    """Note how long after ``sent`` (time.time()) it was started, in ms, then wait on the loop if it is to."""
    _notes[kind].append((time.time() - sent) * 1e3)
    if seconds:
        await asyncio.sleep(seconds)


@app.task(result_ttl="10m")
async def echo(text: str) -> str:
    """Its argument is a result that is kept."""
    return text


@app.task(attempts=1)
async def failing(text: str) -> None:
    """A dead letter at once."""
    raise ValueError(text)


@app.task(backoff=[0])
async def second_time(ctx: Context, text: str) -> None:
    """Fail at first, with no delay before the next attempt, then pass."""
    if ctx.attempt == 1:
        raise ValueError(text)


@app.task
async def hold(number: int) -> None:
    """Say which process runs it, and when; the first time, keep it for a minute, so that this process can be killed."""
    _ledger().rpush("bench:held", f"{number} {os.getpid()} {time.time():.6f}")
    if _ledger().incr(f"bench:seen:{number}") == 1:
        await asyncio.sleep(60)
