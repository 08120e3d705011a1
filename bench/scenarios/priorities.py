"""How long an urgent job waits behind a hundred thousand that are not: from enqueue to the first line of its handler."""

from __future__ import annotations

import time

from bench.ground import QUEUE, Run, counted, idle_fleet, percentile, wait_until
from bench.jobs import note, pause
from bench.loads import fill, noted, on
from streamq.queue import Queue

EVERY = 0.01  # seconds between two urgent jobs


def measure(run: Run) -> dict[str, float]:
    """Milliseconds while low jobs of 1 ms wait; the number of urgent ones; and how long the last low one waited."""
    run.server.flush()
    with run.app() as app, idle_fleet(run, app):
        low = on(app, pause).using(priority="low").call(0.001)
        urgent = on(app, note).using(priority="high")
        jobs = run.size(100_000)
        app.run(Queue(QUEUE).pause())
        fill(app, low, jobs)
        app.run(Queue(QUEUE).resume())
        began, sent = time.time(), 0
        while not sent or counted(app, "pending"):
            urgent.enqueue("urgent", time.time(), 0.0)
            sent += 1
            time.sleep(EVERY)
        emptied = time.time() - began
        wait_until(lambda: counted(app, "completed") == jobs + sent)
    late = noted(run, "urgent")
    return {
        "urgent_p50_ms": percentile(late, 0.5),
        "urgent_p99_ms": percentile(late, 0.99),
        "urgent_jobs": len(late),
        "last_low_ms": emptied * 1e3,
    }
