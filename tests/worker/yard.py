"""The app of the tests with real worker processes, and the program that runs them: ``python yard.py '{"workers": 2}'``.

Handlers write what they do into a journal, one line each, which outlives them all.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from streamq.app import App
from streamq.context import Context
from streamq.errors import ConfigError, SoftTimeout
from streamq.events import Event
from streamq.handlers import CallNext
from streamq.limits import Limit
from streamq.outcomes import RateLimited, Retry

JOURNAL = Path(os.environ.get("JOURNAL", os.devnull))

app = App(lease=float(os.environ.get("LEASE", "30")))


def write(*words: object) -> None:
    line = " ".join(map(str, words)) + "\n"
    handle = os.open(JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line.encode())
    os.close(handle)


if most := os.environ.get("MOST_THREADS"):  # as the limit of a container does
    start_new_thread = threading._start_new_thread  # type: ignore[attr-defined]

    def start_within_limit(*args: Any) -> int:
        if threading.active_count() > int(most):
            raise RuntimeError("can't start new thread")
        started: int = start_new_thread(*args)
        return started

    threading._start_new_thread = start_within_limit  # type: ignore[attr-defined]


@app.lifespan
async def life() -> AsyncIterator[None]:
    write("opens", os.getpid())
    if why := os.environ.get("FAIL_AT_START"):
        raise RuntimeError(why)
    if why := os.environ.get("MISCONFIGURED_AT_START"):
        raise ConfigError(why)
    yield
    if why := os.environ.get("FAIL_AT_END"):
        raise RuntimeError(why)
    if os.environ.get("CRASH_AT_END"):
        os.abort()


if os.environ.get("LAYERS"):

    @app.middleware
    async def passes(ctx: Context, call_next: CallNext) -> object:
        return await call_next()


@app.on("job.dead", "worker.lost")
def hear(event: Event) -> None:
    write("heard", event.name, event.job, event.task, *event.fields.get("suspects", ()))
    if os.environ.get("OBSERVERS_EXIT"):
        sys.exit("an observer exits")


@app.task(result_ttl="1m")
async def add(a: int, b: int) -> int:
    write("add", a, b)
    return a + b


@app.task(result_ttl="1m")
def add_in_thread(a: int, b: int) -> int:
    return a + b


@app.task(result_ttl="1m")
def nap_in_thread(seconds: float) -> None:
    time.sleep(seconds)


@app.task(result_ttl="1m", backoff=0.05)
async def nap(name: str, seconds: float) -> str:
    write("begin", name, os.getpid())
    await asyncio.sleep(seconds)
    write("end", name)
    return name


@app.task(limits=Limit("account", by=lambda: "x", slots=1))
async def sits_in_a_lane(name: str, seconds: float) -> None:
    write("begin", name, os.getpid())
    await asyncio.sleep(seconds)


@app.task(result_ttl="1m", backoff=0.05)
async def nap_twice_short(name: str, seconds: float) -> None:
    """Sleeps the first time only."""
    first = not JOURNAL.exists() or f"begin {name} " not in JOURNAL.read_text()
    write("begin", name, os.getpid())
    if first:
        await asyncio.sleep(seconds)
    write("end", name)


@app.task
async def blocks_then_crashes_once(name: str, seconds: float) -> None:
    """The first time."""
    first = not JOURNAL.exists() or f"begin {name} " not in JOURNAL.read_text()
    write("begin", name, os.getpid())
    if first:
        time.sleep(seconds)
        os.abort()


@app.task(timeout=60)
def sits_in_a_thread(name: str, seconds: float) -> None:
    write("begin", name, os.getpid())
    time.sleep(seconds)


@app.task(timeout=60)
def holds_it_in_a_thread(name: str, seconds: float) -> None:
    """The interpreter. Signals, which the main thread gets, do not interrupt the sleep."""
    write("begin", name, os.getpid())
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@app.task(timeout=60)
async def holds_it_when_it_should_end(name: str, seconds: float) -> None:
    write("begin", name, os.getpid())
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@app.task(timeout=60)
async def blocks_its_loop(name: str, seconds: float) -> None:
    write("begin", name, os.getpid())
    time.sleep(seconds)


@app.task
async def stubborn(ctx: Context, name: str) -> None:
    write("begin", name, os.getpid())
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        write("cancelled", name, ctx.cancelled)
        raise


@app.task(result_ttl="1m", timeout=2, attempts=1)
async def late(name: str) -> None:
    write("begin", name, os.getpid())
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        write("ended", name)
        raise


@app.task(result_ttl="1m", timeout=0.3, attempts=2, backoff=0.05)
async def holds_the_interpreter(name: str) -> None:
    write("begin", name, os.getpid())
    ctypes.PyDLL(None).sleep(60)


@app.task(result_ttl="1m", timeout=60)
async def holds_it_for(name: str, seconds: float) -> str:
    write("begin", name, os.getpid())
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return name


@app.task(result_ttl="1m", timeout=0.2, attempts=1)
def deaf(name: str) -> None:
    write("begin", name, os.getpid())
    while True:
        try:
            time.sleep(600)
        except BaseException as error:
            write("deaf to", type(error).__name__)


@app.task(result_ttl="1m", timeout=0.2, attempts=1)
async def swallows(name: str) -> None:
    write("begin", name, os.getpid())
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            write("swallowed", name)


@app.task
def uses_up_all_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@app.task(result_ttl="1m", timeout=0.2, attempts=1)
async def sleeps_too_long() -> None:
    await asyncio.sleep(60)


@app.task
async def cancels_the_ticker(name: str) -> None:
    write("begin", name, os.getpid())
    for task in asyncio.all_tasks():
        if "Ticker" in str(task.get_coro()):
            task.cancel()
    await asyncio.sleep(60)


@app.task
async def exits(name: str) -> None:
    write("begin", name, os.getpid())
    os._exit(3)


@app.task
async def exits_with(name: str, code: int) -> None:
    os._exit(code)


@app.task
async def crashes_late(name: str) -> None:
    """Returns; its process crashes before that is settled."""
    write("begin", name, os.getpid())
    asyncio.get_running_loop().call_soon(os.abort)


@app.task
async def segfaults(name: str) -> None:
    write("begin", name, os.getpid())
    await asyncio.sleep(0.05)
    ctypes.string_at(0)


@app.task(result_ttl="1m", isolate=True, timeout=0.5, attempts=1)
def isolated(name: str, seconds: float) -> int:
    write("begin", name, os.getpid())
    time.sleep(seconds)
    return os.getpid()


@app.task(result_ttl="1m", isolate=True, limits=Limit("openai", "0.001/s burst 100", cost=lambda n: n))
def isolated_spends(ctx: Context, n: int, spent: int) -> str:
    if spent == 0 and "limited" not in JOURNAL.read_text():
        write("limited")
        raise RateLimited(0.1)
    ctx.spent(spent)
    return f"{ctx.lane} {ctx.cost:g} {ctx.attempt}"


@app.task(result_ttl="1m", isolate=True, attempts=1)
def isolated_once(number: int) -> int:
    return number


@app.task(result_ttl="1m", isolate=True, timeout=5, soft_timeout=0.2)
def isolated_tidies(name: str) -> str:
    try:
        time.sleep(60)
    except SoftTimeout as error:
        return str(error)
    return "not late"


@app.task(result_ttl="1m", isolate=True, timeout=5, soft_timeout=0.2)
async def isolated_tidies_too(name: str) -> str:
    try:
        await asyncio.sleep(60)
    except SoftTimeout as error:
        return str(error)
    return "not late"


@app.task(result_ttl="1m", isolate=True, attempts=2, backoff=0.05)
def isolated_crash(ctx: Context) -> int:
    write("begin crash", ctx.attempt)
    if ctx.attempt == 1:
        os._exit(9)
    return ctx.attempt


@app.task(result_ttl="1m", isolate=True, attempts=3)
async def isolated_retry(ctx: Context) -> int:
    if ctx.attempt < 3:
        raise Retry(0.01)
    return ctx.attempt


grown: list[bytes] = []


@app.task
async def grows(size: int) -> None:
    grown.append(b"x" * size)


@app.task(result_ttl="1m")
async def closes_standard_error(descriptor: bool) -> None:
    """As libraries do that make daemons or capture output; what nobody waits for fails afterwards."""
    if descriptor:
        os.close(2)
    else:
        sys.stderr.close()
    leave_a_stray_error()


def leave_a_stray_error() -> None:
    asyncio.get_running_loop().call_soon(int, "nobody waits for this")


@app.task(result_ttl="1m")
async def leaves_a_stray_error() -> None:
    leave_a_stray_error()


@app.task(result_ttl="1m", backoff=0.05)
async def goes_in_steps(ctx: Context, name: str, count: int, seconds: float) -> list[int]:
    return [await ctx.step(f"step {number}", one_step, name, number, seconds) for number in range(count)]


@app.task(result_ttl="1m", backoff=0.05)
async def goes_a_long_way(ctx: Context, name: str, count: int) -> list[int]:
    """Steps, a short sleep, more steps, a signal, and more steps."""
    done: list[int] = []
    for number in range(count):
        done.append(await ctx.step(f"step {number}", one_step, name, number, 0.05))
        if number == count // 3:
            await ctx.sleep("100ms")
        if number == 2 * count // 3:
            done.append(await ctx.signal("go on", int))
    return done


async def one_step(name: str, number: int, seconds: float) -> int:
    write("step", name, number)
    await asyncio.sleep(seconds)
    return number


@app.task(result_ttl="1m", backoff=0.05)
def goes_in_steps_in_a_thread(ctx: Context, name: str, count: int, seconds: float) -> list[int]:
    steps = ctx.sync
    return [steps.step(f"step {number}", blocking_step, name, number, seconds) for number in range(count)]


def blocking_step(name: str, number: int, seconds: float) -> int:
    write("step", name, number)
    time.sleep(seconds)
    return number


@app.task(result_ttl="1m", attempts=3, backoff=0.05)
async def fails(message: str) -> None:
    raise ValueError(message)


if os.environ.get("BATCHES"):

    @app.batch(size=10, wait=0.3)
    async def packs(items: list[str]) -> list[str]:
        first = not JOURNAL.exists() or "begin sleeps-once" not in JOURNAL.read_text()
        for item in items:
            write("begin", item)
        if "exits" in items:
            os._exit(3)
        if "sleeps-once" in items and first:
            await asyncio.sleep(60)
        return items

    @app.batch(size=10, wait=60, result_ttl="1m")
    def gathers(items: list[int]) -> list[int]:
        return [len(items)] * len(items)


if __name__ == "__main__":
    from streamq.worker import run

    sys.exit(run(app, **json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}")))
