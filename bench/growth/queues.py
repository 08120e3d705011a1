"""The same number of jobs in more and more queues, drained by one worker process that serves all of them."""

from __future__ import annotations

import time

from bench.ground import Run, fleet, percentile, server_cpu, used_memory, wait_until
from bench.growth.curves import point, sizes
from bench.growth.direct import Direct, bytes_each
from bench.jobs import noop
from bench.loads import PAYLOAD, on
from streamq import App

__all__ = ["measure"]

QUEUES = (1, 10, 100, 1_000)
JOBS = 200_000
SINGLES = 2_000


def measure(run: Run) -> dict[str, object]:
    """Points ``queues_<n>``."""
    figures: dict[str, object] = {}
    for count in sizes(run, QUEUES):
        figures |= point("queues", count, _point(run, count))
    return figures


def _point(run: Run, count: int) -> dict[str, object]:
    run.server.flush()
    names = [f"queue-{number}" for number in range(count)]
    with run.app() as app:
        app.run(app.queue("first").stats())  # the library is there
        empty = used_memory(run)
        times = _singles(app, names, max(100, int(SINGLES * run.scale)))
        used = used_memory(run) - empty
        queues = [Direct.of(app, name) for name in names]
        rate, server_us = _drain(run, queues, max(1, int(JOBS * run.scale) // count))
    return {
        "enqueue_p50_ms": percentile(times, 0.5),
        "enqueue_p99_ms": percentile(times, 0.99),
        **bytes_each("queue", used, count),
        "drain_jobs_per_s": rate,
        "server_us_per_job": server_us,
    }


def _singles(app: App, names: list[str], jobs: int) -> list[float]:
    """Milliseconds of single enqueues, round and round; every queue is met once before."""
    enqueues, times = [on(app, noop).using(queue=name).enqueue for name in names], list[float]()
    for enqueue in enqueues:
        enqueue(PAYLOAD)
    for number in range(jobs):
        began = time.perf_counter()
        enqueues[number % len(enqueues)](PAYLOAD)
        times.append((time.perf_counter() - began) * 1e3)
    return times


def _drain(run: Run, queues: list[Direct], each: int) -> tuple[float, float]:
    """Jobs/s from the moment when a process that stands ready may begin, and the server's microseconds a job."""

    def counted(name: str) -> int:
        return sum(int(one.engine.run(one.queue.stats())[name]) for one in queues)

    for one in queues:
        one.engine.run(one.queue.pause())
        one.fill(each)
    jobs, keys = counted("pending"), [f"{one.queue.anchor}:counts" for one in queues]

    def completed() -> int:
        pipe = run.server.raw.pipeline(transaction=False)
        for key in keys:
            pipe.hget(key, "completed")
        return sum(int(value or 0) for value in pipe.execute())

    with fleet(run, queues=[one.queue.name for one in queues]):
        wait_until(lambda: counted("idle") == len(queues), every=0.2)
        began, cpu = time.perf_counter(), server_cpu(run)
        for one in queues:
            one.engine.run(one.queue.resume())
        wait_until(lambda: completed() == jobs)
        return jobs / (time.perf_counter() - began), (server_cpu(run) - cpu) / jobs * 1e6
