"""How the scenarios load a queue: all at once behind a pause, or at a rate that does not care how the queue is doing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from bench.ground import QUEUE, Run, counted, wait_until
from streamq import App
from streamq.queue import Queue
from streamq.task import Call, Task

__all__ = ["PAYLOAD", "arrive", "behind_a_pause", "drain_rate", "fill", "noted", "on"]

PAYLOAD = "x" * 80


def on(app: App, task: Task[..., Any]) -> Any:
    """A task of bench/jobs.py as one of the run's app, which knows the server."""
    return app.tasks.get(task.name) or app.task(task.fn)


def fill(app: App, call: Call[Any], jobs: int) -> None:
    """Put the same job in many times, by thousands."""
    for start in range(0, jobs, 1000):
        app.enqueue_many([call] * min(1000, jobs - start))


def behind_a_pause(app: App, call: Call[Any], jobs: int) -> float:
    """Fill the queue while nobody takes from it, then let the workers begin; jobs/s of the filling."""
    app.run(Queue(QUEUE).pause())
    began = time.perf_counter()
    fill(app, call, jobs)
    rate = jobs / (time.perf_counter() - began)
    app.run(Queue(QUEUE).resume())
    return rate


def drain_rate(app: App, jobs: int, before: int, counter: str = "completed") -> float:
    """Jobs/s between the first tenth and the last twentieth; returns when all ``jobs`` after ``before`` are counted."""
    wait_until(lambda: counted(app, counter) > before + jobs * 0.1, every=0.002)
    first, began = counted(app, counter), time.perf_counter()
    wait_until(lambda: counted(app, counter) > before + jobs * 0.95, every=0.005)
    last, ended = counted(app, counter), time.perf_counter()
    wait_until(lambda: counted(app, counter) >= before + jobs)
    return (last - first) / (ended - began)


def arrive(app: App, make: Callable[[float], Call[Any]], rate: float, seconds: float) -> int:
    """Put jobs in at random times of a mean rate, whether or not the queue keeps up; how many.

    ``make`` gets the time (time.time()) at which a job should have been put in. Those that are late because the call before
    them took long go in together with their own times, so no wait is left out of what is measured from these.
    """
    chance, jobs = random.Random(8), 0
    due = began = time.time()
    while due < began + seconds:
        now, calls = time.time(), list[Call[Any]]()
        while due <= now and due < began + seconds and len(calls) < 1000:
            calls.append(make(due))
            due += chance.expovariate(rate)
        if calls:
            app.enqueue_many(calls)
            jobs += len(calls)
        else:
            time.sleep(max(0.0, due - now))
    return jobs


def noted(run: Run, kind: str) -> list[float]:
    """What handlers noted under a name; complete once their fleet has ended."""
    return [float(value) for value in run.server.raw.lrange(f"bench:{kind}", 0, -1)]
