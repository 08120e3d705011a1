"""Jobs that fail once, are tried again without a delay, and pass; beside the same number that pass at once."""

from __future__ import annotations

import time
from typing import Any

from bench.ground import Run, counted, idle_fleet, middle, wait_until
from bench.jobs import noop, second_time
from bench.loads import PAYLOAD, behind_a_pause, on
from streamq import App
from streamq.task import Task

ROUNDS = 3


def measure(run: Run) -> dict[str, object]:
    """Jobs/s from the first start to the last end, one worker process; and how many times longer than without a failure."""
    jobs, passing, failing = run.size(10_000), [], []
    run.server.flush()
    with run.app() as app, idle_fleet(run, app):
        for _ in range(ROUNDS):
            passing.append(_rate(app, noop, jobs))
            failing.append(_rate(app, second_time, jobs))
    slower = middle(passing)["median"] / middle(failing)["median"]
    return {"jobs_per_s": middle(failing), "times_longer_than_a_pass": slower}


def _rate(app: App, task: Task[..., Any], jobs: int) -> float:
    before = counted(app, "completed")
    behind_a_pause(app, on(app, task).call(PAYLOAD), jobs)
    began = time.perf_counter()
    wait_until(lambda: counted(app, "completed") >= before + jobs, every=0.005)
    return jobs / (time.perf_counter() - began)
