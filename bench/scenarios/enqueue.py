"""Putting jobs in through the public surface: one by one, by concurrent awaits, and in bulk."""

from __future__ import annotations

import asyncio
import time

from bench.ground import Run, percentile
from bench.jobs import noop
from streamq import App


def measure(run: Run) -> dict[str, float]:
    """Jobs/s, and milliseconds for a single one."""
    with run.app() as app:
        task = app.task(noop.fn)
        task.enqueue("x" * 80)
        figures = _single(task, run.size(5_000)) | _bulk(app, task, run.size(200_000))
        run.server.flush()
        return figures | asyncio.run(_concurrent(app, task, run.size(50_000)))


def _single(task: object, jobs: int) -> dict[str, float]:
    enqueue, times = task.enqueue, []  # type: ignore[attr-defined]
    for _ in range(jobs):
        began = time.perf_counter()
        enqueue("x" * 80)
        times.append((time.perf_counter() - began) * 1e3)
    return {
        "single_p50_ms": percentile(times, 0.5),
        "single_p99_ms": percentile(times, 0.99),
        "single_jobs_per_s": jobs / sum(times) * 1e3,
    }


def _bulk(app: App, task: object, jobs: int) -> dict[str, float]:
    rates = {}
    for size in (10, 100, 1000):
        rounds = max(3, jobs // size // (10 if size == 10 else 1))
        began = time.perf_counter()
        for _ in range(rounds):
            app.enqueue_many([task.call("x" * 80) for _ in range(size)])  # type: ignore[attr-defined]
        rates[f"bulk_{size}_jobs_per_s"] = rounds * size / (time.perf_counter() - began)
    return rates


async def _concurrent(app: App, task: object, jobs: int) -> dict[str, float]:
    async def producer() -> None:
        for _ in range(jobs // 100):
            await task.aenqueue("x" * 80)  # type: ignore[attr-defined]

    began = time.perf_counter()
    await asyncio.gather(*[producer() for _ in range(100)])
    rate = jobs / (time.perf_counter() - began)
    await app.aclose()
    return {"hundred_awaits_jobs_per_s": rate}
