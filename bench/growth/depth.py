"""More and more queued jobs: drain rate of a worker process, takes, enqueues, and the server's memory.

The queue is never emptied in between: each size is reached from the one before. A fleet drains with everything that is on by
default; it is started on the paused queue, so that its start is not measured, and the queue is filled up after each window.
"""

from __future__ import annotations

import shutil
import time
from typing import Any

import psutil

from bench.ground import QUEUE, Run, counted, fleet, middle, server_cpu, used_memory, wait_until
from bench.growth.curves import point, sizes
from bench.growth.direct import Direct, bytes_each, quiet
from streamq import App

__all__ = ["measure"]

QUEUED = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
COMPARED = 10_000_000  # whose drain rate is held against the best of fewer, from 10,000 on
CYCLES = 5_000
WINDOW = 150_000  # jobs of a measured drain, at most
ROUNDS = 3
MEMORY = 150  # bytes a queued job, with room for what is copied while the append-only file is rewritten
DISK = 600  # bytes of append-only file a queued job, while it is rewritten


def measure(run: Run) -> dict[str, object]:
    """Points ``queued_<n>``; the drain rate of the most queued ones as a share of that of fewer; what did not fit."""
    wanted, figures = sizes(run, QUEUED, least=200), dict[str, object]()
    fitting = [size for size in wanted if size <= _room(run)]
    run.server.flush()
    with run.app() as app:
        direct = Direct.of(app, QUEUE)
        direct.fill(1)
        empty = used_memory(run)
        for size in fitting:
            figures |= point("queued", size, _point(run, app, direct, size, empty))
    if wanted != fitting:
        figures["queued_left_out"] = (
            f"{', '.join(map(str, wanted[len(fitting) :]))}: too little memory or disk"
        )
    return figures | _share(figures, [size for size in fitting if size >= QUEUED[1]])


def _share(figures: dict[str, Any], compared: list[int]) -> dict[str, object]:
    """Short drains are slower, because a worker begins with small batches: hence the best, and not that of 10,000."""
    rates = {size: figures[f"queued_{size}.drain_jobs_per_s"]["median"] for size in compared}
    most = rates.pop(COMPARED, None)
    return {"queued_drain_share": most / max(rates.values())} if most and rates else {}


def _room(run: Run) -> float:
    """How many jobs fit."""
    memory, disk = psutil.virtual_memory().available, shutil.disk_usage(run.server.folder).free
    return float(min(memory * 0.8 / MEMORY, disk * 0.8 / DISK if run.server.aof else float("inf")))


def _point(run: Run, app: App, direct: Direct, size: int, empty: int) -> dict[str, object]:
    missing, before, began = size - counted(app, "pending"), used_memory(run), time.perf_counter()
    direct.fill(missing)
    filled = missing / (time.perf_counter() - began)
    quiet(run)
    memory = used_memory(run)
    times = direct.cycle(app, max(100, int(CYCLES * run.scale)))
    return {
        "fill_jobs_per_s": filled,
        "server_mb": (memory - empty) / 1024**2,
        **bytes_each("job", memory - before, missing),
        **times.figures(),
        **_drain(run, app, direct, size),
    }


def _drain(run: Run, app: App, direct: Direct, size: int) -> dict[str, object]:
    direct.engine.run(direct.queue.pause())
    with fleet(run):
        wait_until(lambda: counted(app, "idle") > 0)
        windows = [_window(run, app, direct, size) for _ in range(ROUNDS)]
    direct.fill(size - counted(app, "pending"))
    direct.engine.run(direct.queue.resume())
    return {
        "drain_jobs_per_s": middle([rate for rate, _ in windows]),
        "drain_server_us": middle([server_us for _, server_us in windows]),
    }


def _window(run: Run, app: App, direct: Direct, size: int) -> tuple[float, float]:
    """Jobs/s from the moment when the fleet that stands ready may begin, and the server's microseconds a job."""
    direct.fill(max(0, size - counted(app, "pending")))
    jobs, before, counts = min(size, WINDOW), counted(app, "completed"), f"{direct.queue.anchor}:counts"

    def completed() -> int:
        return int(run.server.raw.hget(counts, "completed") or 0) - before

    cpu, began = server_cpu(run), time.perf_counter()
    direct.engine.run(direct.queue.resume())
    wait_until(lambda: completed() >= jobs, every=min(0.005, jobs / 1e7))
    done, ended, spent = completed(), time.perf_counter(), server_cpu(run) - cpu
    direct.engine.run(direct.queue.pause())
    wait_until(lambda: counted(app, "active") == 0)
    return done / (ended - began), spent / done * 1e6
