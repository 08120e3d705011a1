"""The same number of jobs in more and more queues, drained by one worker process that serves all of them."""

from __future__ import annotations

import time

from bench.ground import Run, fleet, percentile, server_cpu, wait_until
from bench.growth.curves import point, sizes
from bench.growth.direct import Direct, bytes_each, drained, emptied, used_memory
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
    emptied(run)
    jobs, names = max(200, int(JOBS * run.scale)), [f"queue-{number}" for number in range(count)]
    with run.app() as app:
        app.run(app.queue("first").stats())  # the library is there
        empty = used_memory(run)
        times = _singles(app, names, max(100, int(SINGLES * run.scale)))
        used = used_memory(run) - empty
        queues = [Direct.of(app, name) for name in names]
        waiting = sum(int(app.run(queue.queue.stats())["pending"]) for queue in queues)
        for queue in queues:
            queue.fill(max(1, (jobs - waiting) // count))
    rate, server_us = _drain(run, names)
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


def _drain(run: Run, names: list[str]) -> tuple[float, float]:
    """Jobs/s between the first tenth and the last twentieth, and the server's microseconds a job, the fleet's start in it."""

    def completed() -> int:
        pipe = run.server.raw.pipeline(transaction=False)
        for name in names:
            pipe.hget(f"sq:{{{name}}}:counts", "completed")
        return sum(int(value or 0) for value in pipe.execute())

    with run.app() as app:
        jobs = sum(int(app.run(app.queue(name).stats())["pending"]) for name in names)
    cpu = server_cpu(run)
    with fleet(run, queues=names):
        wait_until(lambda: completed() > 0, every=0.02)
        done, began, ended = drained(completed, jobs, every=0.02)
        wait_until(lambda: completed() == jobs, every=0.02)
    return done / (ended - began), (server_cpu(run) - cpu) / jobs * 1e6
