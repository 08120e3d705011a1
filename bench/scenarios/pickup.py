"""From enqueue to the first line of the handler when the fleet is idle, with 1 and with 200 idle consumers."""

from __future__ import annotations

import time

from bench.ground import QUEUE, Run, counted, fleet, percentile, wait_until
from bench.jobs import stamp
from streamq.queue import Queue


def measure(run: Run) -> dict[str, float]:
    """Milliseconds, p50 and p99."""
    figures: dict[str, float] = {}
    for idle in (1, 200):
        times = _times(run, idle, run.size(500))
        figures |= {
            f"p50_ms_{idle}_idle": percentile(times, 0.5),
            f"p99_ms_{idle}_idle": percentile(times, 0.99),
        }
    return figures


def _times(run: Run, idle: int, jobs: int) -> list[float]:
    """The other idle consumers stand in the registry before the worker, which was idle last and is woken first."""
    run.server.flush()
    with run.app() as app:
        queue, task = Queue(QUEUE), app.task(stamp.fn)
        for _ in range(idle - 1):
            app.run(queue.pop(app.run(queue.register(600_000)).consumer, 1))
        with fleet(run):
            wait_until(lambda: counted(app, "idle") == idle)
            for number in range(jobs):
                task.enqueue(time.time())
                wait_until(lambda done=number: run.server.raw.llen("bench:late") > done, every=0.002)
        return [float(late) for late in run.server.raw.lrange("bench:late", 0, -1)]
