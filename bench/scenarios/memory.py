"""What a job costs the server in each of its states, and what a worker process and each of its slots cost a machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import psutil

from bench.ground import QUEUE, Run, counted, idle_fleet, used_memory, wait_until
from bench.jobs import echo, failing, noop, pause
from bench.loads import fill, on
from streamq import App
from streamq.protocol.consume import MAX_TAKE
from streamq.queue import Queue
from streamq.task import Task

MB = 1024**2
PAYLOAD = "x" * 95  # makes a body of 100 bytes
WORKERS = 2
KINDS = ("rss", "pss", "uss")
FIRST = 1_000  # jobs before those that are weighed
HELD = 1.0  # seconds that a job waits in its slot, so that all can be seen at once


def measure(run: Run) -> dict[str, float]:
    """Bytes a job whose body has 100; MB of a worker process: all that is resident, its share of it, and what is its own."""
    return _states(run) | _processes(run)


# The server


def _states(run: Run) -> dict[str, float]:
    return {
        "pending_bytes": _held(run, _put),
        "pending_with_record_bytes": _held(run, lambda app, jobs: _put(app, jobs, expires="1h")),
        "delayed_bytes": _held(run, lambda app, jobs: _put(app, jobs, delay="1h")),
        "active_bytes": _held(run, _take),
        "dead_bytes": _left(run, failing, "dead"),
        "completed_bytes": _left(run, noop, "completed"),
        "completed_with_result_bytes": _left(run, echo, "completed"),
    }


def _put(app: App, jobs: int, **options: object) -> None:
    fill(app, on(app, noop).using(**options).call(PAYLOAD), jobs)


def _take(app: App, jobs: int) -> None:
    """All are put in and taken by a consumer that does not settle them."""
    _put(app, jobs)
    consumer = app.run(Queue(QUEUE).register()).consumer
    while counted(app, "pending"):
        app.run(Queue(QUEUE).pop(consumer, MAX_TAKE))


def _held(run: Run, put: Callable[[App, int], None]) -> float:
    """Bytes a job after ``put``, with no worker there."""
    run.server.flush()
    with run.app() as app:
        return _bytes(run, lambda jobs: put(app, jobs))


def _left(run: Run, task: Task[..., Any], counter: str) -> float:
    """Bytes a job that a fleet has ended."""

    def end(jobs: int) -> None:
        before = counted(app, counter)
        fill(app, on(app, task).call(PAYLOAD), jobs)
        wait_until(lambda: counted(app, counter) == before + jobs)

    run.server.flush()
    with run.app() as app, idle_fleet(run, app):
        return _bytes(run, end)


def _bytes(run: Run, put: Callable[[int], None]) -> float:
    """Bytes for each job that is put, above what the server holds once it knows jobs of this kind."""
    put(FIRST)
    before, jobs = used_memory(run), run.size(20_000)
    put(jobs)
    return (used_memory(run) - before) / jobs


# The workers


def _processes(run: Run) -> dict[str, float]:
    """A slot is the difference between 1,010 and 10 of them, all holding a job that waits."""
    start, few, later = _stages(run, 10, (0, run.size(10_000), run.size(90_000)))
    (many,) = _stages(run, 1010, (run.size(10_000),))
    figures: dict[str, float] = {}
    for kind in KINDS:
        figures |= {
            f"{kind}_mb_when_it_starts": start[kind],
            f"{kind}_mb_per_process": few[kind],
            f"{kind}_mb_after_100_000_jobs": later[kind],
            f"{kind}_kb_per_slot": (many[kind] - few[kind]) * 1024 / 1000,
        }
    return figures


def _stages(run: Run, concurrency: int, stages: Sequence[int]) -> list[dict[str, float]]:
    """MB of a process after so many more jobs each, while every slot holds a job that waits."""
    run.server.flush()
    slots, found = concurrency * WORKERS, []
    with run.app() as app, idle_fleet(run, app, workers=WORKERS, concurrency=concurrency) as process:
        for more in stages:
            fill(app, on(app, noop).call(PAYLOAD), more * WORKERS)
            wait_until(lambda: not counted(app, "pending") and not counted(app, "active"))
            fill(app, on(app, pause).call(HELD), slots)
            wait_until(lambda: counted(app, "active") == slots)
            found.append(_memory(process.pid))
            wait_until(lambda: not counted(app, "active"))
    return found


def _memory(supervisor: int) -> dict[str, float]:
    """MB by kind, each the median over the supervisor's children."""
    children = [child.memory_full_info() for child in psutil.Process(supervisor).children()]
    return {kind: median(getattr(child, kind) for child in children) / MB for kind in KINDS}
