"""How fast a real fleet, started as a user starts it, empties a queue of jobs that do nothing."""

from __future__ import annotations

import time

from bench.ground import Run, counted, fleet, middle, wait_until
from bench.jobs import noop, noop_sync
from streamq import App

ROUNDS = 3


def measure(run: Run) -> dict[str, object]:
    """Jobs/s between the first 10 % and the last 5 % of the queue, by kind of handler and number of processes."""
    return {
        "async_1": middle([_drain(run, noop, 1, run.size(300_000)) for _ in range(ROUNDS)]),
        "async_2": middle([_drain(run, noop, 2, run.size(300_000)) for _ in range(ROUNDS)]),
        "sync_1": middle([_drain(run, noop_sync, 1, run.size(200_000)) for _ in range(ROUNDS)]),
        "sync_2": middle([_drain(run, noop_sync, 2, run.size(200_000)) for _ in range(ROUNDS)]),
    }


def _drain(run: Run, declared: object, workers: int, jobs: int) -> float:
    run.server.flush()
    with run.app() as app:
        fill(app, declared, jobs)
        with fleet(run, workers=workers):
            wait_until(lambda: counted(app, "completed") > jobs * 0.1)
            first, began = counted(app, "completed"), time.perf_counter()
            wait_until(lambda: counted(app, "completed") > jobs * 0.95, every=0.005)
            last, ended = counted(app, "completed"), time.perf_counter()
            wait_until(lambda: counted(app, "completed") == jobs)
    return (last - first) / (ended - began)


def fill(app: App, declared: object, jobs: int) -> None:
    """Put jobs in, by thousands."""
    task = app.task(declared.fn)  # type: ignore[attr-defined]
    for start in range(0, jobs, 1000):
        app.enqueue_many([task.call("x" * 80) for _ in range(min(1000, jobs - start))])
