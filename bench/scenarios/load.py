"""From enqueue to the first line of the handler on a fleet that is busy, at 50 % and at 90 % of what it can do.

The jobs wait for 1 ms in ten slots, so that the slots are what is scarce and not the processors, which the producer needs
as well. They come at random times whatever the queue does, and count from the time when they should have been put in.
"""

from __future__ import annotations

from bench.ground import Run, counted, idle_fleet, middle, percentile, wait_until
from bench.jobs import note, pause
from bench.loads import arrive, noted, on, rates
from streamq import App

ROUNDS = 3
SLOTS = 10
SHARES = (50, 90)


def measure(run: Run) -> dict[str, object]:
    """Jobs/s of the drain, and at each load milliseconds, p50 and p99, over several rounds."""
    seconds, rounds = max(0.2, 3 * run.scale), range(ROUNDS)
    run.server.flush()
    with run.app() as app, idle_fleet(run, app, concurrency=SLOTS):
        call, jobs = on(app, pause).call(0.001), max(2_000, run.size(10_000))
        capacity = middle([rates(app, call, jobs).drain for _ in rounds])
        for number in rounds:
            for share in SHARES:
                _loaded(app, f"load_{share}_{number}", capacity["median"] * share / 100, seconds)
    figures: dict[str, object] = {"drain_jobs_per_s": capacity}
    for share in SHARES:
        late = [noted(run, f"load_{share}_{number}") for number in rounds]
        figures |= {
            f"{share}_percent_p50_ms": middle([percentile(each, 0.5) for each in late]),
            f"{share}_percent_p99_ms": middle([percentile(each, 0.99) for each in late]),
        }
    return figures


def _loaded(app: App, kind: str, rate: float, seconds: float) -> None:
    task, before = on(app, note), counted(app, "completed")
    jobs = arrive(app, lambda due: task.call(kind, due, 0.001), rate, seconds)
    wait_until(lambda: counted(app, "completed") >= before + jobs)
