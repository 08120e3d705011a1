"""The same figures at more and more queued jobs, delayed jobs, connections, queues and servers (bench/growth/)."""

from __future__ import annotations

from bench.ground import Run
from bench.growth import connections, delayed, depth, queues, servers

AXES = (depth, delayed, connections, queues, servers)


def measure(run: Run) -> dict[str, object]:
    """Points of all curves."""
    figures: dict[str, object] = {}
    for axis in AXES:
        print(f"growth by {axis.__name__.rpartition('.')[2]}", flush=True)
        figures |= axis.measure(run)
    run.server.flush()
    return figures
