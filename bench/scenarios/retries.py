"""Jobs that fail once, are tried again without a delay, and pass; beside the same number that pass at once."""

from __future__ import annotations

from bench.ground import Run, idle_fleet, middle
from bench.jobs import noop, second_time
from bench.loads import PAYLOAD, on, rates

ROUNDS = 3


def measure(run: Run) -> dict[str, object]:
    """Jobs/s from the first start to the last end, one worker process; and how many times longer than without a failure."""
    jobs, passing, failing = run.size(10_000), [], []
    run.server.flush()
    with run.app() as app, idle_fleet(run, app):
        for _ in range(ROUNDS):
            passing.append(rates(app, on(app, noop).call(PAYLOAD), jobs).drain)
            failing.append(rates(app, on(app, second_time).call(PAYLOAD), jobs).drain)
    slower = middle(passing)["median"] / middle(failing)["median"]
    return {"jobs_per_s": middle(failing), "times_longer_than_a_pass": slower}
