"""Workers that are killed with jobs in hand: how long until these jobs run again elsewhere."""

from __future__ import annotations

import os
import signal
import time

import psutil

from bench.ground import Run, fleet, idle_fleet, middle, wait_until
from bench.jobs import hold
from bench.loads import on

ROUNDS = 3
JOBS = 20


def measure(run: Run) -> dict[str, object]:
    """Milliseconds after the SIGKILL of one of two processes, and of a whole host, which only the end of its leases tells."""
    lease = max(1.0, 30 * run.scale)
    processes = [_process_killed(run) for _ in range(ROUNDS)]
    first, last = _host_killed(run, lease)
    return {
        "process_killed_first_ms": middle([first for first, _ in processes]),
        "process_killed_all_ms": middle([last for _, last in processes]),
        "host_killed_first_ms": first,
        "host_killed_all_ms": last,
    }


def _process_killed(run: Run) -> tuple[float, float]:
    """Its supervisor lives, and knows at once what it had in hand."""
    run.server.flush()
    with run.app() as app, idle_fleet(run, app, workers=2, concurrency=JOBS):
        app.enqueue_many([on(app, hold).call(number) for number in range(JOBS)])
        victim = _held(run, JOBS)[0][1]
        return _again_after_kill(run, [victim])


def _host_killed(run: Run, lease: float) -> tuple[float, float]:
    """The supervisor and all its processes at once; another fleet is there, with room."""
    settings = {"STREAMQ_LEASE": str(lease)}
    run.server.flush()
    with run.app() as app, idle_fleet(run, app, workers=2, environment=settings) as supervisor:
        app.enqueue_many([on(app, hold).call(number) for number in range(JOBS)])
        held = _held(run, JOBS)
        with fleet(run, environment=settings) as other:
            wait_until(lambda: len(psutil.Process(other.pid).children()) > 0)
            children = [child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)]
            assert {process for _, process, _ in held} <= set(children)
            return _again_after_kill(run, [supervisor.pid, *children])


def _again_after_kill(run: Run, victims: list[int]) -> tuple[float, float]:
    """Milliseconds from the kill until the first and the last of the victims' jobs have begun once more."""
    lost = {job for job, process, _ in _held(run, JOBS) if process in victims}
    began = time.time()
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    again = [at for job, _, at in _held(run, JOBS + len(lost))[JOBS:] if job in lost]
    return (min(again) - began) * 1e3, (max(again) - began) * 1e3


def _held(run: Run, count: int) -> list[tuple[int, int, float]]:
    """Which jobs were begun by which process and when, in order, as soon as there are so many."""
    wait_until(lambda: run.server.raw.llen("bench:held") >= count)
    rows = [row.split() for row in run.server.raw.lrange("bench:held", 0, count - 1)]
    return [(int(job), int(process), float(at)) for job, process, at in rows]
