"""How fast a real fleet, started as a user starts it, empties a queue: jobs that do nothing, that wait, that compute."""

from __future__ import annotations

from typing import Any

from bench.ground import Run, counted, idle_fleet, middle
from bench.jobs import noop, noop_sync, pause, spin
from bench.loads import PAYLOAD, behind_a_pause, drain_rate, on
from streamq.task import Task

ROUNDS = 3
PROCESSES = (1, 2, 4)
WORK: dict[str, tuple[Task[..., Any], object, int]] = {
    "async": (noop, PAYLOAD, 150_000),
    "sync": (noop_sync, PAYLOAD, 80_000),
    "sleep_1ms": (pause, 0.001, 30_000),
    "cpu_1ms": (spin, 0.001, 1_000),
}


def measure(run: Run) -> dict[str, object]:
    """Jobs/s between the first 10 % and the last 5 % of the queue, by kind of handler and number of processes."""
    figures: dict[str, object] = {}
    for workers in PROCESSES:
        run.server.flush()
        with run.app() as app, idle_fleet(run, app, workers=workers):
            rates: dict[str, list[float]] = {kind: [] for kind in WORK}
            for _ in range(ROUNDS):
                for kind, (task, argument, full) in WORK.items():
                    before, jobs = counted(app, "completed"), run.size(full)
                    behind_a_pause(app, on(app, task).call(argument), jobs)
                    rates[kind].append(drain_rate(app, jobs, before))
        figures |= {f"{kind}_{workers}": middle(taken) for kind, taken in rates.items()}
    return figures
