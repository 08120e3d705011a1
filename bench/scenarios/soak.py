"""Two minutes of Locust's mixed producers against a fleet (bench/soak.py), with its verdict."""

from __future__ import annotations

import importlib.util

from bench.ground import Run
from bench.soak import soak

SECONDS = 120
USERS = 20
WORKERS = 2


def measure(run: Run) -> dict[str, object]:
    """What Locust found, memory and its slopes, and what was wrong."""
    if importlib.util.find_spec("locust") is None:
        return {"not_available": "locust is not installed (extra 'bench')"}
    found = soak(run, max(2.0, SECONDS * run.scale), USERS, WORKERS)
    return {"verdict": "; ".join(found.wrong) or "passed", **found.figures}
