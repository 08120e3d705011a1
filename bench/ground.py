"""What all measurements stand on: a private server, a fleet of workers, and the machine's description."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from servers import Server
from streamq import App
from streamq.queue import Queue

__all__ = ["Run", "fleet", "machine", "percentile", "server_cpu", "wait_until"]

QUEUE = "default"


@dataclass(frozen=True)
class Run:
    """One run: the server, by how much the sizes are cut, and which peers take part (none named: all)."""

    server: Server
    scale: float
    peers: tuple[str, ...] = ()

    def size(self, full: int) -> int:
        """The number of jobs of a measurement."""
        return max(200, int(full * self.scale))

    def app(self) -> App:
        """An app on the run's server."""
        return App(self.server.url)


def machine(server: Server) -> dict[str, Any]:
    """Where the figures come from."""
    info = server.raw.info("server")
    names = ("streamq", "redis", "hiredis", "msgspec", "uvloop")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "server": f"{info.get('server_name', server.kind)} {info.get('valkey_version', info['redis_version'])}",
        "aof": server.aof,
        "versions": {name: version(name) for name in names},
    }


@contextlib.contextmanager
def fleet(run: Run, *, workers: int = 1, concurrency: int = 100) -> Iterator[subprocess.Popen[bytes]]:
    """A real ``streamq work`` on the app of bench/jobs.py, as a user starts it."""
    command = [str(Path(sys.executable).parent / "streamq"), "work", "bench.jobs:app"]
    options = ["--workers", str(workers), "--concurrency", str(concurrency)]
    environment = {
        **os.environ,
        "STREAMQ_URL": run.server.url,
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    with (run.server.folder / "fleet.log").open("ab") as log:
        process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def wait_until(true: Callable[[], bool], *, seconds: float = 120, every: float = 0.01) -> None:
    """Until it is true; a TimeoutError when it does not become so."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(every)


def server_cpu(run: Run) -> float:
    """Seconds of CPU that the server has used."""
    info = run.server.raw.info("cpu")
    return float(info["used_cpu_sys"] + info["used_cpu_user"])


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def middle(values: list[float]) -> dict[str, float]:
    """Median, least and most, for repeated measurements."""
    return {"median": median(values), "least": min(values), "most": max(values)}


def counted(app: App, name: str) -> int:
    """One counter of the measured queue."""
    return int(app.run(Queue(QUEUE).stats())[name])
