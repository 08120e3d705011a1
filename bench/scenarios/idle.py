"""What a fleet costs that has nothing to do: commands a second of 100 idle workers."""

from __future__ import annotations

import time

from bench.ground import Run, counted, fleet, sent_commands, wait_until


def measure(run: Run) -> dict[str, float]:
    """Commands/s over a window."""
    return {"commands_per_s_of_100_idle_workers": _commands(run, 100, max(5.0, 30 * run.scale))}


def _commands(run: Run, workers: int, seconds: float) -> float:
    run.server.flush()
    with run.app() as app, fleet(run, workers=workers, concurrency=1):
        wait_until(lambda: counted(app, "idle") == workers)
        time.sleep(6)  # everybody's first look around is over
        before = sent_commands(run)
        time.sleep(seconds)
        return (sent_commands(run) - before) / seconds
