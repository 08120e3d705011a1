"""A soak of stated length: Locust's producers against a fleet, with an eye on memory and on every single job.

    python -m bench.soak 10m --users 20 --workers 2

It fails (exit code 1) when a call failed, when an accepted job was not run, when the counters do not agree with the
structures, or when the memory of the server or of a worker grows without end: by more than a bound a minute, fitted over
the last two thirds of the time, and by more than noise in all.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from bench.ground import QUEUE, Run, Server, counted, fleet, wait_until
from bench.producers import complaints, producers, reported
from streamq.durations import seconds
from streamq.protocol.inspect import Balance
from streamq.queue import Queue

__all__ = ["Line", "Soaked", "judged", "main", "soak"]

SERVER_MB_A_MINUTE = 1.0
WORKER_MB_A_MINUTE = 0.3
NOISE_MB = 6.0
OTHER_ENDS = ("dead", "cancelled", "expired", "skipped", "purged")  # none of which these producers cause
MB = 1024**2


@dataclass(slots=True)
class Line:
    """The memory of one process over time, in MB, and by how much it may grow a minute."""

    name: str
    read: Callable[[], int]
    bound: float
    samples: list[tuple[float, float]] = field(default_factory=list)

    def sample(self, now: float) -> None:
        """One look, unless the process is gone."""
        try:
            self.samples.append((now, self.read() / MB))
        except psutil.NoSuchProcess:
            return

    @property
    def slope(self) -> float:
        """MB a minute over the last two thirds of the samples, by least squares."""
        kept = self.samples[len(self.samples) // 3 :]
        if len(kept) < 2:
            return 0.0
        middle = sum(at for at, _ in kept) / len(kept)
        mean = sum(size for _, size in kept) / len(kept)
        spread = sum((at - middle) ** 2 for at, _ in kept)
        return sum((at - middle) * (size - mean) for at, size in kept) / spread * 60 if spread else 0.0

    @property
    def grows(self) -> bool:
        """Above the bound, and more than noise in all."""
        kept = self.samples[len(self.samples) // 3 :]
        minutes = (kept[-1][0] - kept[0][0]) / 60 if kept else 0.0
        return self.slope > self.bound and self.slope * minutes > NOISE_MB

    def figures(self) -> dict[str, float]:
        """Its size at the end, and the slope."""
        size = self.samples[-1][1] if self.samples else 0.0
        return {f"{self.name}, at the end_mb": size, f"{self.name}, a minute_mb": self.slope}

    def __str__(self) -> str:
        sizes = [size for _, size in self.samples] or [0.0]
        return f"{self.name}: {sizes[0]:.1f} to {sizes[-1]:.1f} MB, {self.slope:+.3f} MB a minute (at most {self.bound})"


@dataclass(frozen=True, slots=True)
class Soaked:
    """How a soak ended: sentences about what was wrong, none when all was well, and its figures."""

    wrong: list[str]
    figures: dict[str, float]


def main() -> None:
    """``python -m bench.soak LENGTH [--users N] [--workers N] [--server valkey|redis]``."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("length", help="how long producers run, as in 90s, 10m, 2h")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server and the fleet are ended too
    with Server(chosen.server, aof=True) as server:
        wrong = soak(Run(server, 1.0), seconds(chosen.length, "length"), chosen.users, chosen.workers).wrong
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    print("the soak failed" if wrong else "the soak passed")
    sys.exit(bool(wrong))


def soak(run: Run, length: float, users: int, workers: int) -> Soaked:
    """Run producers for ``length`` seconds, then wait until nothing is left to do."""
    with run.app() as app, fleet(run, workers=workers) as supervisor:
        wait_until(lambda: counted(app, "idle") >= workers, seconds=30)
        lines = _lines(run.server.pid, supervisor.pid)
        with producers(run, length, users) as process:
            while process.poll() is None:
                now = time.monotonic()
                for line in lines:
                    line.sample(now)
                time.sleep(min(10.0, length / 60))
            calls = reported(process)
            failed = complaints(calls, process.returncode)
        unfinished = _unfinished(lambda name: counted(app, name))
        ran, balance = counted(app, "completed"), app.run(Queue(QUEUE).conservation())
    accepted = sum(call.jobs for call in calls)
    wrong = failed + unfinished + judged(accepted, ran, balance, lines)
    for words in (*calls, *lines):
        print(words)
    print(f"{accepted:,} jobs were accepted, {ran:,} completed; conservation: {balance.difference}")
    figures = {"length_s": length, "users": users, "accepted_jobs": accepted, "completed_jobs": ran}
    for found in (*(call.figures() for call in calls), *(line.figures() for line in lines)):
        figures |= found
    return Soaked(wrong, figures)


def judged(accepted: int, ran: int, balance: Balance, lines: list[Line]) -> list[str]:
    """What is wrong with the end of a soak. A call that failed may have put its job in all the same: more may have run."""
    wrong = [f"memory grows: {line}" for line in lines if line.grows]
    if ran < accepted:
        wrong.append(f"{accepted - ran} accepted jobs were not completed")
    if balance.difference:
        wrong.append(f"the counters are off by {balance.difference}: {balance.parts}")
    return wrong + [
        f"{balance.parts[end]} jobs ended as {end}" for end in OTHER_ENDS if balance.parts.get(end)
    ]


def _lines(server: int, supervisor: int) -> list[Line]:
    """The server, the supervisor, and its worker processes."""
    first = psutil.Process(supervisor)
    workers = {f"worker {number} (USS)": child for number, child in enumerate(first.children(), 1)}
    return [
        Line("server (RSS)", lambda: psutil.Process(server).memory_info().rss, SERVER_MB_A_MINUTE),
        *(
            Line(name, lambda process=process: process.memory_full_info().uss, WORKER_MB_A_MINUTE)
            for name, process in {"supervisor (USS)": first, **workers}.items()
        ),
    ]


def _unfinished(count: Callable[[str], int]) -> list[str]:
    """Wait until nothing is left to do."""
    places = ("pending", "delayed", "active")
    try:
        wait_until(lambda: not any(count(place) for place in places), seconds=60)
    except TimeoutError:
        return [f"after a minute there are still {count(place)} {place}" for place in places if count(place)]
    return []


if __name__ == "__main__":
    main()
