"""Locust's producers (locustfile.py) as a process, and what Locust reports of their calls when they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.ground import Run
from bench.places import ROOT

__all__ = ["Calls", "complaints", "producers", "reported"]


@dataclass(frozen=True, slots=True)
class Calls:
    """All calls of one name: how many, how many a second, how many failed, and how long they took."""

    name: str
    count: int
    rate: float
    failed: int
    jobs: int
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, row: dict[str, Any]) -> Calls:
        """From a row of ``locust --json``; the length of a response is the number of jobs that were accepted."""
        seconds = max(0.001, row["last_request_timestamp"] - row["start_time"])
        times = sorted((float(ms), count) for ms, count in row["response_times"].items())
        return cls(
            row["name"],
            row["num_requests"],
            row["num_requests"] / seconds,
            row["num_failures"],
            row["total_content_length"],
            _share(times, 0.5),
            _share(times, 0.99),
        )

    def figures(self) -> dict[str, float]:
        """Under its name in a result."""
        return {
            f"{self.name}, calls_per_s": self.rate,
            f"{self.name}, p50_ms": self.p50_ms,
            f"{self.name}, p99_ms": self.p99_ms,
        }

    def __str__(self) -> str:
        return f"{self.name:20} {self.count:>9,} calls, {self.rate:>7,.0f}/s, {self.failed} failed"


def producers(run: Run, length: float, users: int) -> subprocess.Popen[str]:
    """Start them, for ``length`` seconds, without Locust's page."""
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "bench/locustfile.py")]
    options = ["--users", str(users), "--spawn-rate", str(users), "--run-time", f"{max(1, round(length))}s"]
    silent = ["--headless", "--json", "--only-summary", "--stop-timeout", "60", "--loglevel", "ERROR"]
    return subprocess.Popen(
        [*command, *options, *silent],
        env={**os.environ, "STREAMQ_URL": run.server.url},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def reported(process: subprocess.Popen[str]) -> list[Calls]:
    """What they say at their end."""
    assert process.stdout is not None
    return [Calls.of(row) for row in json.loads(process.stdout.read())]


def complaints(calls: Sequence[Calls], code: int) -> list[str]:
    """What went wrong with them."""
    failed = [f"{one.failed} calls of '{one.name}' failed" for one in calls if one.failed]
    return failed or ([f"locust ended with {code}"] if code else [])


def _share(times: Sequence[tuple[float, int]], share: float) -> float:
    """The time that ``share`` of the calls do not exceed; ``times`` are ordered, with the number of calls of each."""
    rest = share * sum(count for _, count in times)
    for ms, count in times:
        rest -= count
        if rest <= 0:
            return ms
    return 0.0
