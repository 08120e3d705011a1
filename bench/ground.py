"""What all measurements stand on: a private server, a fleet of workers, and the machine's description."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from servers import Server
from streamq import App
from streamq.queue import Queue

__all__ = [
    "QUEUE",
    "Run",
    "Server",
    "counted",
    "executed_commands",
    "fleet",
    "function_us",
    "idle_fleet",
    "machine",
    "middle",
    "percentile",
    "sent_commands",
    "server_cpu",
    "used_memory",
    "wait_until",
]

QUEUE = "default"
SENT = ("fcall", "fcall_ro", "ping", "ssubscribe")


@dataclass(frozen=True)
class Run:
    """One run: the server, by how much the sizes are cut, and which peers take part (none named: all)."""

    server: Server
    scale: float
    peers: tuple[str, ...] = ()

    def size(self, full: int) -> int:
        """The number of jobs of a measurement."""
        return max(200, int(full * self.scale))

    def app(self, **settings: Any) -> App:
        """An app on the run's server."""
        return App(self.server.url, **settings)


def machine(server: Server) -> dict[str, Any]:
    """Where the figures come from."""
    info = server.raw.info("server")
    names = ("streamq", "redis", "hiredis", "msgspec", "uvloop")
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1024**3),
        "server": f"{info.get('server_name', server.kind)} {info.get('valkey_version', info['redis_version'])}",
        "allocator": server.raw.info("memory")["mem_allocator"],
        "aof": server.aof,
        "versions": {name: version(name) for name in names},
    }


def _processor() -> str:
    """Its name, as Linux says it; elsewhere what Python knows."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def fleet(
    run: Run,
    *,
    workers: int = 1,
    concurrency: int = 100,
    queues: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A real ``streamq work`` on the app of bench/jobs.py, as a user starts it; what still runs at its end has 2 s."""
    command = [str(Path(sys.executable).parent / "streamq"), "work", "bench.jobs:app", "--timeout", "2s"]
    options = ["--workers", str(workers), "--concurrency", str(concurrency)]
    options += [f"--queue={name}" for name in queues]
    variables = {
        **os.environ,
        "STREAMQ_URL": run.server.url,
        "PYTHONPATH": str(Path(__file__).parent.parent),
        **(environment or {}),
    }
    with (run.server.folder / "fleet.log").open("ab") as log:
        process = subprocess.Popen([*command, *options], env=variables, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def idle_fleet(
    run: Run,
    app: App,
    *,
    workers: int = 1,
    concurrency: int = 100,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A fleet all of whose processes stand ready: nothing of their start is in what is measured."""
    before = counted(app, "idle")
    with fleet(run, workers=workers, concurrency=concurrency, environment=environment) as process:

        def stands() -> bool:
            if process.poll() is not None:
                words = (run.server.folder / "fleet.log").read_text()[-2000:]
                raise RuntimeError(f"the fleet ended with {process.returncode}; its last words: {words}")
            return counted(app, "idle") >= before + workers

        wait_until(stands)
        yield process


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


def function_us(server: Server) -> float:
    """Microseconds that the server has spent in functions and scripts, as it counts them itself."""
    stats = server.raw.info("commandstats")
    names = ("cmdstat_fcall", "cmdstat_fcall_ro", "cmdstat_eval")
    return float(sum(stats[name]["usec"] for name in names if name in stats))


def sent_commands(run: Run) -> int:
    """Commands that streamq's clients have sent; those inside its functions, and INFO, are left out."""
    return sum(calls for name, calls in _calls(run).items() if name in SENT)


def executed_commands(run: Run) -> int:
    """Commands that the server has executed in all, those inside functions too; INFO is left out."""
    return sum(calls for name, calls in _calls(run).items() if name != "info")


def _calls(run: Run) -> dict[str, int]:
    stats = run.server.raw.info("commandstats")
    return {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}


def used_memory(run: Run) -> int:
    """Bytes that the server holds for data: not what it has lent to connections and to its file for a moment."""
    memory = run.server.raw.info("memory")
    return int(memory["used_memory"] - memory["mem_clients_normal"] - memory["mem_aof_buffer"])


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
