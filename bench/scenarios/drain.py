"""How fast a real fleet, started as a user starts it, empties a queue: jobs that do nothing, that wait, that compute."""

from __future__ import annotations

from typing import Any

from bench.ground import Run, idle_fleet, middle
from bench.jobs import noop, noop_sync, pause, spin
from bench.loads import PAYLOAD, on, rates
from streamq.task import Task

ROUNDS = 3
PROCESSES = (1, 2, 4)
WORK: dict[str, tuple[Task[..., Any], object, int]] = {
    "async": (noop, PAYLOAD, 120_000),
    "sync": (noop_sync, PAYLOAD, 60_000),
    "sleep_1ms": (pause, 0.001, 30_000),
    "cpu_1ms": (spin, 0.001, 1_000),
}


def measure(run: Run) -> dict[str, object]:
    """Jobs/s from the moment when a fleet that stands ready may begin, by kind of handler and number of processes."""
    figures: dict[str, object] = {}
    for workers in PROCESSES:
        run.server.flush()
        with run.app() as app, idle_fleet(run, app, workers=workers):
            found: dict[str, list[float]] = {kind: [] for kind in WORK}
            for _ in range(ROUNDS):
                for kind, (task, argument, full) in WORK.items():
                    call = on(app, task).call(argument)
                    found[kind].append(rates(app, call, run.size(full)).drain)
        figures |= {f"{kind}_{workers}": middle(each) for kind, each in found.items()}
    return figures
