"""Where a job's microseconds go: ``python -m bench.profile [--jobs 20000] [--server redis] [--functions 15]``.

Four parts, each by itself: the producer (check, pack, the call), the wire (a PING against an enqueue), the server (each
function as the server counts its time, beside the raw commands in a loop inside Lua), and the worker (its processor time a
job, the handler and the payload alone, and the functions of Python that cProfile finds most in). cProfile makes Python two
to three times slower, so its table shows shares, and the processor time beside it the sum.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from bench.ground import QUEUE, Run, Server, counted, function_us, machine
from bench.jobs import noop
from streamq import App
from streamq.protocol.consume import plain
from streamq.protocol.enqueue import NewJob
from streamq.queue import Queue
from streamq.worker import Limits, Worker

__all__ = ["main", "measure"]

RESULTS = Path(__file__).parent / "results"
PAYLOAD = "x" * 80
BATCH = 100
# Pieces of the functions' work, in this order, as raw commands in a loop inside the server: turn i is job i.
PIECES = {
    "XADD": "redis.call('XADD', KEYS[1]..'s', i..'-0', 'noop', ARGV[2])",
    "XREADGROUP by 100, a job": """if i % 100 == 0 then
        redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 100, 'STREAMS', KEYS[1]..'s', '>') end""",
    "XACK of one": "redis.call('XACK', KEYS[1]..'s', 'g', i..'-0')",
    "XDEL of one": "redis.call('XDEL', KEYS[1]..'s', i..'-0')",
    "ZADD": "redis.call('ZADD', KEYS[1]..'z', i, i)",
    "HSET": "redis.call('HSET', KEYS[1]..'h', i, ARGV[2])",
    "HINCRBY": "redis.call('HINCRBY', KEYS[1]..'c', 'completed', 1)",
    "HMGET of three": "redis.call('HMGET', KEYS[1]..'c', 'completed', 'dead', 'pending')",
}


def main() -> None:
    """Measure, print, and keep the figures beside the other results."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    parser.add_argument("--functions", type=int, default=15, help="lines of cProfile's table")
    chosen = parser.parse_args()
    with Server(chosen.server, aof=True) as server:
        figures, table = measure(Run(server, 1.0), chosen.jobs, chosen.functions)
        found = {"machine": machine(server), "profile": figures | {"functions": "\n".join(table)}}
    for name, value in figures.items():
        print(f"{name:44} {value:8.2f} µs")
    print("\nthe worker's functions, µs a job under cProfile, of their own:")
    print("\n".join(table))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"profile-{chosen.server}-{int(time.time())}.json").write_text(json.dumps(found, indent=2))


def measure(run: Run, jobs: int, functions: int) -> tuple[dict[str, float], list[str]]:
    """Microseconds by part, and the lines of cProfile's table."""
    figures = _producer(run, jobs)
    run.server.flush()
    figures |= _server(run, jobs)
    run.server.flush()
    figures |= _pieces(run, jobs)
    run.server.flush()
    worker, table = _worker(run, jobs, functions)
    return figures | worker, table


# The producer and the wire


def _producer(run: Run, jobs: int) -> dict[str, float]:
    with run.app() as app:
        task = app.task(noop.fn)
        job = task.call(PAYLOAD).new_job()
        queue, engine = app.queue(), app._client.engine
        figures = {
            "producer: check the call": _each(lambda: task.call(PAYLOAD), jobs),
            "producer: pack it": _each(task.call(PAYLOAD).new_job, jobs),
            "producer: make the operation": _each(lambda: queue.push([job]), jobs),
            "wire: PING": _each(lambda: engine.command("PING"), jobs // 10),
            "producer: enqueue, all of it": _each(lambda: task.enqueue(PAYLOAD), jobs // 10),
        }
        calls = [task.call(PAYLOAD) for _ in range(1000)]
        figures["producer: enqueue_many of 1,000, a job"] = (
            _each(lambda: app.enqueue_many(calls), max(3, jobs // 1000)) / 1000
        )
    return figures


def _each(call: Callable[[], Any], times: int) -> float:
    for _ in range(min(times, 100)):
        call()
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times * 1e6


# The server


def _server(run: Run, jobs: int) -> dict[str, float]:
    """The time inside each function, a job, from the server's own statistics of FCALL."""
    with run.app() as app:
        queue, rounds = Queue(QUEUE), max(3, jobs // BATCH)
        job = NewJob("noop", b"x" * 100)
        app.run(queue.push([job]))
        figures = {
            "server: enqueue of 1": _inside(
                run, lambda: [app.run(queue.push([job])) for _ in range(jobs // 10)]
            )
            / (jobs // 10),
            "server: enqueue of 100, a job": _inside(
                run, lambda: [app.run(queue.push([job] * BATCH)) for _ in range(rounds)]
            )
            / (rounds * BATCH),
        }
        consumer = app.run(queue.register()).consumer
        waiting = counted(app, "pending")
        figures["server: take and settle by 100, a job"] = (
            _inside(run, lambda: _drain(app, queue, consumer, BATCH)) / waiting
        )
        app.run(queue.push([job] * min(1000, jobs)))
        figures["server: take and settle by 1"] = _inside(run, lambda: _drain(app, queue, consumer, 1)) / min(
            1000, jobs
        )
        figures["server: take of nothing"] = (
            _inside(run, lambda: [app.run(queue.pop(consumer, BATCH)) for _ in range(100)]) / 100
        )
    return figures


def _drain(app: App, queue: Queue, consumer: str, batch: int) -> None:
    settlements: list[Any] = []
    while (answer := app.run(queue.pop(consumer, batch, settlements=settlements))).groups:
        entries = answer.groups[1][::3]
        settlements = plain("5", entries, b" ".join(entries))


def _inside(run: Run, work: Callable[[], Any]) -> float:
    """Microseconds that the server spent in functions and scripts while ``work`` ran."""
    before = function_us(run.server)
    work()
    return function_us(run.server) - before


def _pieces(run: Run, jobs: int) -> dict[str, float]:
    run.server.raw.xgroup_create("{p}s", "g", "0", mkstream=True)
    empty = _loop(run, "", jobs)
    return {f"Lua: {name}": _loop(run, piece, jobs) - empty for name, piece in PIECES.items()}


def _loop(run: Run, piece: str, times: int) -> float:
    script = f"for i = 1, tonumber(ARGV[1]) do {piece} end"
    return _inside(run, lambda: run.server.raw.eval(script, 1, "{p}", times, b"x" * 100)) / times


# The worker


def _worker(run: Run, jobs: int, functions: int) -> tuple[dict[str, float], list[str]]:
    app = run.app()
    task = app.task(noop.fn)
    body = task.call(PAYLOAD).new_job().body
    figures = {
        "worker: the handler alone": _handler(task.fn, jobs),
        "worker: open the payload": _each(lambda: app.payloads.unpack(QUEUE, "noop", body), jobs),
    }
    app.enqueue_many([task.call(PAYLOAD)] * jobs)
    began, cpu = time.perf_counter(), time.process_time()
    _work(app)
    figures |= {
        "worker: processor time, all of it": (time.process_time() - cpu) / jobs * 1e6,
        "worker: wall time": (time.perf_counter() - began) / jobs * 1e6,
    }
    app.enqueue_many([task.call(PAYLOAD)] * jobs)
    profile = cProfile.Profile()
    profile.runcall(_work, app)
    app.close()
    return figures, _table(profile, jobs, functions)


def _handler(fn: Any, times: int) -> float:
    async def run() -> float:
        began = time.perf_counter()
        for _ in range(times):
            await fn(PAYLOAD)
        return (time.perf_counter() - began) / times * 1e6

    return asyncio.run(run())


def _work(app: App) -> None:
    """All jobs of the queue in a worker within this process, as ``streamq work --burst`` does it in its children."""

    async def run() -> None:
        await Worker(app, limits=Limits(burst=True)).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def _table(profile: cProfile.Profile, jobs: int, functions: int) -> list[str]:
    """``<µs a job> <calls a job> <function>``, the largest first."""
    rows = [
        (own / jobs * 1e6, calls / jobs, _place(*place))
        for place, (_, calls, own, _, _) in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    ]
    rows.sort(reverse=True)
    return [f"{own:8.2f} {calls:8.2f} x  {name}" for own, calls, name in rows[:functions]]


def _place(file: str, line: int, name: str) -> str:
    if file.endswith("asyncio/runners.py"):
        return "the event loop itself, and waiting for the server"
    return name if file == "~" else f"{Path(file).parent.name}/{Path(file).name}:{line} {name}"


if __name__ == "__main__":
    main()
