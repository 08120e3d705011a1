"""The producer's side of a peer written in Python, run in the peer's environment:

    python -m bench.peers.driver NAME single N     one by one; prints rate and percentiles
    python -m bench.peers.driver NAME fill N       in bulk where it has a way, else one by one; prints the rate
    python -m bench.peers.driver NAME stamp N      one job for each line of the standard input, carrying the time
    python -m bench.peers.driver NAME work         the file's own ``work()``, for a peer without a command that suits

It uses the standard library only. A peer's file has a ``producer``, whose functions are plain or async.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["PORT", "SOCKET", "Producer", "loop_factory", "plain", "together"]

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


def plain(one: Sends, stamp: Sends, many: Sends | None = None, batch: int = 1000) -> Callable[[], Any]:
    """A producer that needs no opening and closing."""

    @contextlib.asynccontextmanager
    async def producer() -> AsyncIterator[Producer]:
        yield Producer(one, stamp, many, batch)

    return producer


def main() -> None:
    """What the command line says, on uvloop where it is installed."""
    peer = importlib.import_module(f"bench.peers.{sys.argv[1]}")
    if sys.argv[2] == "work":
        peer.work()
        return
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        print(json.dumps(runner.run(_run(peer.producer, sys.argv[2], int(sys.argv[3])))), flush=True)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
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


if __name__ == "__main__":
    main()
