"""Handlers that suspend, wait for 1 ms or fail, in 10, 100 and 1,000 slots; and a timer that shares their loop."""

from __future__ import annotations

import time
from typing import Any

from bench.ground import Run, idle_fleet, middle, percentile
from bench.jobs import failing, pause
from bench.loads import PAYLOAD, noted, on, rates
from streamq.task import Task

ROUNDS = 3
SLOTS = (10, 100, 1000)
WORK: dict[str, tuple[Task[..., Any], object, str, int]] = {
    "sleep_0": (pause, 0.0, "completed", 20_000),
    "sleep_1ms": (pause, 0.001, "completed", 10_000),
    "failing": (failing, PAYLOAD, "dead", 5_000),
}


def measure(run: Run) -> dict[str, object]:
    """Jobs/s of one process, and ms by which sleeps of 1 ms on its loop were too long meanwhile: p99, and that when idle."""
    figures: dict[str, object] = {}
    for slots in SLOTS:
        found: dict[str, list[float]] = {kind: [] for kind in WORK}
        spans: dict[str, list[tuple[float, float]]] = {kind: [] for kind in WORK}
        run.server.flush()
        with run.app() as app, idle_fleet(run, app, concurrency=slots, environment={"BENCH_TIMER": "1"}):
            spans["idle"] = [_idle()]
            for _ in range(ROUNDS):
                for kind, (task, argument, counter, full) in WORK.items():
                    call, jobs = on(app, task).call(argument), run.size(full)
                    rate, ended = rates(app, call, jobs, counter).drain, time.time()
                    found[kind].append(rate)
                    spans[kind].append((ended - jobs / rate, ended))
        figures |= {f"{kind}_{slots}_jobs_per_s": middle(each) for kind, each in found.items()}
        figures |= {f"{kind}_{slots}_timer_late_p99_ms": late for kind, late in _late(run, spans).items()}
    return figures


def _idle() -> tuple[float, float]:
    began = time.time()
    time.sleep(0.3)
    return began, time.time()


def _late(run: Run, spans: dict[str, list[tuple[float, float]]]) -> dict[str, float]:
    """The timer's lateness, p99, over the spans of each kind of work."""
    ticks = list(zip(noted(run, "timer_at"), noted(run, "timer_late"), strict=True))
    return {
        kind: percentile([late for at, late in ticks if any(start <= at <= end for start, end in each)], 0.99)
        for kind, each in spans.items()
    }
