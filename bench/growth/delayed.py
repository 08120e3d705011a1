"""Takes and enqueues beside more and more delayed jobs, a thousand of which become due each second."""

from __future__ import annotations

import time

from bench.ground import QUEUE, Run, used_memory
from bench.growth.curves import point, sizes
from bench.growth.direct import Direct, bytes_each, quiet

__all__ = ["measure"]

DELAYED = (1_000, 10_000, 100_000, 1_000_000)
CYCLES = 10_000
READY = 1_000  # jobs that wait beside them
HOUR_MS = 3_600_000
DUE = 20_000  # of the delayed ones, how many become due from the measurement on, one each ms


def measure(run: Run) -> dict[str, object]:
    """Points ``delayed_<n>``."""
    figures: dict[str, object] = {}
    for count in sizes(run, DELAYED, least=100):
        figures |= point("delayed", count, _point(run, count))
    return figures


def _point(run: Run, count: int) -> dict[str, object]:
    run.server.flush()
    with run.app() as app:
        direct, due = Direct.of(app, QUEUE), min(count // 2, DUE)
        direct.fill(READY)
        empty, began = used_memory(run), time.perf_counter()
        direct.fill_delayed(count - due, _now_ms() + HOUR_MS)
        filled = (count - due) / (time.perf_counter() - began)
        quiet(run)
        memory = used_memory(run) - empty
        direct.fill_delayed(due, _now_ms() + 1)
        times = direct.cycle(app, max(100, int(CYCLES * run.scale)))
    return {"fill_jobs_per_s": filled, **bytes_each("job", memory, count - due), **times.figures()}


def _now_ms() -> int:
    return int(time.time() * 1e3)
