"""The producer's side of a peer written in Python, run in the peer's environment:

    python -m bench.peers.NAME single N     one by one; prints rate and percentiles
    python -m bench.peers.NAME fill N       in bulk where it has a way, else one by one; prints the rate
    python -m bench.peers.NAME stamp N      one job for each line of the standard input, carrying the time

It uses the standard library only. What a peer's file gives are plain or async functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["PAYLOAD", "PORT", "SOCKET", "Producer", "plain", "run", "together"]

PAYLOAD = "x" * 100
SOCKET = os.environ.get("BENCH_SOCKET", "")
PORT = int(os.environ.get("BENCH_PORT", "0"))

Sends = Callable[..., Any]


@dataclass(frozen=True)
class Producer:
    """``one(text)`` puts in a no-op job, ``stamp(sent)`` a job that tells how late it is, ``many(texts)`` all of them."""

    one: Sends
    stamp: Sends
    many: Sends | None = None
    batch: int = 1000


def together(one: Callable[[str], Awaitable[Any]]) -> Sends:
    """A ``many`` for a peer that has none: 100 concurrent awaits."""

    async def many(texts: list[str]) -> None:
        for start in range(0, len(texts), 100):
            await asyncio.gather(*[one(text) for text in texts[start : start + 100]])

    return many


def run(producer: Callable[[], contextlib.AbstractAsyncContextManager[Producer]]) -> None:
    """What the command line says, on uvloop where it is installed."""
    what, jobs = sys.argv[1], int(sys.argv[2])
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        print(json.dumps(runner.run(_run(producer, what, jobs))), flush=True)


def plain(one: Sends, stamp: Sends, many: Sends | None = None, batch: int = 1000) -> Callable[[], Any]:
    """A producer that needs no opening and closing."""

    @contextlib.asynccontextmanager
    async def producer() -> AsyncIterator[Producer]:
        yield Producer(one, stamp, many, batch)

    return producer


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(producer: Callable[[], Any], what: str, jobs: int) -> dict[str, float]:
    async with producer() as made:
        match what:
            case "single":
                return await _single(made, jobs)
            case "fill":
                return await _fill(made, jobs)
            case "stamp":
                return await _stamp(made, jobs)
    raise SystemExit(f"no measurement is named {what!r}")


async def _single(made: Producer, jobs: int) -> dict[str, float]:
    times = []
    for _ in range(10):
        await _done(made.one(PAYLOAD))
    for _ in range(jobs):
        began = time.perf_counter()
        sent = made.one(PAYLOAD)
        if hasattr(sent, "__await__"):
            await sent
        times.append(time.perf_counter() - began)
    times.sort()
    return {
        "jobs_per_s": jobs / sum(times),
        "p50_ms": times[jobs // 2] * 1e3,
        "p99_ms": times[jobs * 99 // 100] * 1e3,
    }


async def _fill(made: Producer, jobs: int) -> dict[str, float]:
    began = time.perf_counter()
    if made.many is None:
        for _ in range(jobs):
            await _done(made.one(PAYLOAD))
    else:
        for start in range(0, jobs, made.batch):
            await _done(made.many([PAYLOAD] * min(made.batch, jobs - start)))
    return {"jobs_per_s": jobs / (time.perf_counter() - began)}


async def _stamp(made: Producer, jobs: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    for _ in range(jobs):
        if not await loop.run_in_executor(None, sys.stdin.readline):
            break
        await _done(made.stamp(time.time()))
    return {}


async def _done(sent: Any) -> None:
    if hasattr(sent, "__await__"):
        await sent
