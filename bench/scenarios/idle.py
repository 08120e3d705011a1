"""What a fleet costs that has nothing to do: commands a second of 100 idle workers, and memory of each process."""

from __future__ import annotations

import time

import psutil

from bench.ground import Run, counted, fleet, wait_until
from bench.jobs import noop, pause
from bench.scenarios.drain import fill


def measure(run: Run) -> dict[str, float]:
    """Commands/s over a window, MB of memory of its own (USS) a worker process, kB a further slot."""
    few, many = _memory(run, 4, 10), _memory(run, 4, 1010)
    return {
        "commands_per_s_of_100_idle_workers": _commands(run, 100, max(5.0, 30 * run.scale)),
        "uss_mb_per_process": few,
        "uss_kb_per_slot": (many - few) * 1024 / 1000,
    }


def _commands(run: Run, workers: int, seconds: float) -> float:
    run.server.flush()
    with run.app() as app, fleet(run, workers=workers, concurrency=1):
        wait_until(lambda: counted(app, "idle") == workers)
        time.sleep(6)  # everybody's first look around is over
        before = _calls(run)
        time.sleep(seconds)
        return (_calls(run) - before) / seconds


def _calls(run: Run) -> int:
    """Commands that clients sent; INFO itself is left out."""
    stats = run.server.raw.info("commandstats")
    inner = ("info", "client", "hello")
    sent = ("fcall", "fcall_ro", "ping", "ssubscribe", "publish", "spublish")
    return sum(
        int(row["calls"])
        for name, row in stats.items()
        if name.removeprefix("cmdstat_") in sent and name not in inner
    )


def _memory(run: Run, workers: int, concurrency: int) -> float:
    """MB of USS a child, after 10,000 jobs each, while every slot holds a job that waits."""
    run.server.flush()
    with run.app() as app, fleet(run, workers=workers, concurrency=concurrency) as process:
        wait_until(lambda: counted(app, "idle") == workers)
        jobs = 10_000 * workers
        fill(app, noop, jobs)
        wait_until(lambda: counted(app, "completed") == jobs)
        waiting = app.task(pause.fn)
        app.enqueue_many([waiting.call(20.0) for _ in range(concurrency * workers)])
        wait_until(lambda: counted(app, "active") == concurrency * workers)
        children = psutil.Process(process.pid).children()
        own = sorted(child.memory_full_info().uss for child in children)
        return own[len(own) // 2] / 1024**2
