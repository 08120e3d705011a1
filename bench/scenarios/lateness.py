"""How late delayed jobs begin: a thousand spread over five seconds, and a hundred thousand that are due at once."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from bench.ground import Run, counted, idle_fleet, percentile, wait_until
from bench.jobs import note
from bench.loads import noted, on
from streamq.task import Call

EVERY = 0.005  # seconds between two jobs that are due one by one
FILLING = 10_000  # delayed jobs a second that can surely be put in


def measure(run: Run) -> dict[str, float]:
    """Milliseconds: p50 and p99 of the spread ones; of the crowd, until all have started, and the others meanwhile."""
    spread, crowd = run.size(1_000), run.size(100_000)
    run.server.flush()
    with run.app() as app, idle_fleet(run, app):
        task = on(app, note)
        start = time.time() + 0.5
        app.enqueue_many([_due(task, "spread", start + number * EVERY) for number in range(spread)])
        wait_until(lambda: counted(app, "completed") == spread)
        start = time.time() + 1 + crowd / FILLING
        others = [start + number * EVERY for number in range(min(200, spread))]
        app.enqueue_many([_due(task, "equal", due) for due in others])
        app.enqueue_many([_due(task.using(priority="high"), "urgent", due) for due in others])
        one = _due(task, "crowd", start)
        for begun in range(0, crowd, 1000):
            app.enqueue_many([one] * min(1000, crowd - begun))
        assert time.time() < start, f"this machine cannot put {FILLING:,} delayed jobs a second in"
        wait_until(lambda: counted(app, "completed") == spread + crowd + 2 * len(others))
    figures = {"crowd_all_started_ms": max(noted(run, "crowd"))}
    for kind, name in (
        ("spread", "spread"),
        ("equal", "beside_the_crowd"),
        ("urgent", "urgent_beside_the_crowd"),
    ):
        late = noted(run, kind)
        figures |= {f"{name}_p50_ms": percentile(late, 0.5), f"{name}_p99_ms": percentile(late, 0.99)}
    return figures


def _due(task: Any, kind: str, due: float) -> Call[None]:
    """A job that notes how long after its time it began; the time is a whole number of milliseconds, as on the server."""
    at = round(due, 3)
    call: Call[None] = task.using(at=datetime.fromtimestamp(at, UTC)).call(kind, at, 0.0)
    return call
