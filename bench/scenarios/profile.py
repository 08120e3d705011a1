"""Where a job's microseconds go (bench/profile.py)."""

from __future__ import annotations

from bench import profile
from bench.ground import Run

JOBS = 20_000
FUNCTIONS = 15  # lines of cProfile's table


def measure(run: Run) -> dict[str, object]:
    """Microseconds by part, and the worker's functions as lines of text."""
    figures, table = profile.measure(run, run.size(JOBS), FUNCTIONS)
    return {**figures, "functions": "\n".join(table)}
