"""A producer and a worker process at once: the rate that both hold, and what waits between them a little below it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.ground import Run, counted, idle_fleet, middle, wait_until
from bench.jobs import noop
from bench.loads import PAYLOAD, arrive, on
from streamq import App
from streamq.task import Call

ROUNDS = 3
CEILING = 5_000  # jobs that may wait before the producer stops for a moment


def measure(run: Run) -> dict[str, object]:
    """Jobs/s of both together, held for some seconds; then at 90 % of that the backlog, and what share was kept up with."""
    seconds = max(0.3, 4 * run.scale)
    run.server.flush()
    with run.app() as app, idle_fleet(run, app):
        call = on(app, noop).call(PAYLOAD)
        _held_rate(app, call, seconds / 4)
        rates = [_held_rate(app, call, seconds) for _ in range(ROUNDS)]
        offered = 0.9 * middle(rates)["median"]
        wait_until(lambda: not counted(app, "pending"))
        with _watched(app) as backlog:
            before, began = counted(app, "completed"), time.perf_counter()
            arrive(app, lambda _: call, offered, seconds)
            kept = (counted(app, "completed") - before) / (time.perf_counter() - began)
    return {
        "jobs_per_s": middle(rates),
        "backlog_at_90_percent": middle(backlog),
        "kept_up_at_90_percent": kept / offered,
    }


def _held_rate(app: App, call: Call[None], seconds: float) -> float:
    """Jobs/s that are completed while the producer puts in all that it can, by hundreds, below the ceiling."""
    before, began = counted(app, "completed"), time.perf_counter()
    while time.perf_counter() < began + seconds:
        for _ in range(10):
            app.enqueue_many([call] * 100)
        while counted(app, "pending") > CEILING:
            time.sleep(0.001)
    return (counted(app, "completed") - before) / (time.perf_counter() - began)


@contextmanager
def _watched(app: App) -> Iterator[list[float]]:
    """How many jobs wait, looked at all the time; filled by the end."""
    over, backlog = threading.Event(), []

    def watch() -> None:
        while not over.wait(0.02):
            backlog.append(float(counted(app, "pending")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield backlog
    finally:
        over.set()
        watcher.join()
