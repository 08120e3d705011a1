"""How the scenarios load a queue: all at once behind a pause, or at a rate that does not care how the queue is doing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from bench.ground import QUEUE, Run, counted, wait_until
from streamq import App
from streamq.queue import Queue
from streamq.task import Call, Task

__all__ = ["PAYLOAD", "Rates", "arrive", "fill", "noted", "on", "rates"]

PAYLOAD = "x" * 80


def on(app: App, task: Task[..., Any]) -> Any:
    """A task of bench/jobs.py as one of the run's app, which knows the server."""
    return app.tasks.get(task.name) or app.task(task.fn)


def fill(app: App, call: Call[Any], jobs: int) -> None:
    """Put the same job in many times, by thousands."""
    for start in range(0, jobs, 1000):
        app.enqueue_many([call] * min(1000, jobs - start))


class Rates(NamedTuple):
    """Jobs/s into a queue from which nobody takes, and out of it again."""

    enqueue: float
    drain: float


def rates(app: App, call: Call[Any], jobs: int, counter: str = "completed") -> Rates:
    """Fill the queue behind a pause, let the fleet that stands ready begin, and wait until all are counted."""
    before = counted(app, counter)
    app.run(Queue(QUEUE).pause())
    began = time.perf_counter()
    fill(app, call, jobs)
    filled = time.perf_counter()
    app.run(Queue(QUEUE).resume())
    wait_until(lambda: counted(app, counter) >= before + jobs, every=0.005)
    return Rates(jobs / (filled - began), jobs / (time.perf_counter() - filled))


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
