"""Turns results of ``python -m bench`` into PERFORMANCE_REPORT.md: ``python -m bench.report RESULT.json [RESULT.json …]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "PERFORMANCE_REPORT.md"
NOTES = Path(__file__).parent / "notes.md"  # what a person says to the figures

HEAD = """\
# Performance report

What streamq does a second, what it costs, and how far it is from the server under it. Every figure comes from
`python -m bench` (sources in [bench/](bench/)), on a private server that listens on a unix socket on the same machine, with
everything on that is on by default: supervisor, leases, timeouts, counters, the log of completions, statistics.
Machines are noisy: read the ratios, and take your own with `make bench`.
"""

# figure → (words, unit, the bound that the project set itself for its first engine: (<= or >=, number))
FIGURES: dict[str, dict[str, tuple[str, str, tuple[str, float] | None]]] = {
    "raw": {
        "add_jobs_per_s": ("raw: XADD by hundreds, one redis-py client", "jobs/s", None),
        "drain_jobs_per_s": ("raw: XREADGROUP, XACK, XDEL by hundreds", "jobs/s", None),
        "add_server_us": ("raw: server CPU to add", "µs/job", None),
        "drain_server_us": ("raw: server CPU to drain", "µs/job", None),
    },
    "engine": {
        "add_server_us": ("functions: server CPU to enqueue, by hundreds", "µs/job", None),
        "drain_server_us": ("functions: server CPU to take and settle", "µs/job", None),
        "bytes_per_queued_job": ("server memory of a queued plain job of 100 bytes", "bytes", ("<=", 160)),
    },
    "enqueue": {
        "single_p50_ms": ("enqueue of one job, p50", "ms", ("<=", 0.08)),
        "single_p99_ms": ("enqueue of one job, p99", "ms", None),
        "single_jobs_per_s": ("enqueue one by one", "jobs/s", None),
        "bulk_10_jobs_per_s": ("enqueue_many by 10", "jobs/s", None),
        "bulk_100_jobs_per_s": ("enqueue_many by 100", "jobs/s", None),
        "bulk_1000_jobs_per_s": ("enqueue_many by 1,000", "jobs/s", (">=", 150_000)),
        "hundred_awaits_jobs_per_s": ("100 concurrent awaits of one job each", "jobs/s", None),
    },
    "drain": {
        "async_1": ("drain, async no-op jobs, 1 worker process", "jobs/s", (">=", 60_000)),
        "async_2": ("drain, async no-op jobs, 2 worker processes", "jobs/s", None),
        "sync_1": ("drain, sync no-op jobs, 1 worker process", "jobs/s", (">=", 40_000)),
        "sync_2": ("drain, sync no-op jobs, 2 worker processes", "jobs/s", None),
    },
    "pickup": {
        "p50_ms_1_idle": ("enqueue to start, 1 idle worker, p50", "ms", ("<=", 0.8)),
        "p99_ms_1_idle": ("enqueue to start, 1 idle worker, p99", "ms", None),
        "p50_ms_200_idle": ("enqueue to start, 200 idle consumers, p50", "ms", ("<=", 0.8)),
        "p99_ms_200_idle": ("enqueue to start, 200 idle consumers, p99", "ms", None),
    },
    "idle": {
        "commands_per_s_of_100_idle_workers": ("commands of 100 idle workers", "a second", ("<=", 20)),
        "uss_mb_per_process": ("memory of its own (USS) of a worker process", "MB", ("<=", 8)),
        "uss_kb_per_slot": ("memory of a further async slot", "kB", ("<=", 16)),
    },
}


def main(files: list[str]) -> None:
    """Write the report from these results; of each figure the latest file that has it counts."""
    results = [json.loads(Path(file).read_text()) for file in files]
    parts = [HEAD]
    for kind in dict.fromkeys(_kind(result) for result in results):
        merged: dict[str, Any] = {}
        for result in results:
            if _kind(result) == kind:
                merged |= result
        parts += [_section(kind, merged)]
    parts += [NOTES.read_text()]
    TARGET.write_text("\n".join(parts))
    print(f"written: {TARGET.name}")


def _kind(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return f"{machine['server']}, {'AOF everysec' if machine['aof'] else 'no AOF'}"


def _section(kind: str, found: dict[str, Any]) -> str:
    machine = found["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    python = f"Python {machine['python']}"
    lines = [
        f"## {kind}\n",
        f"{machine['date']}, {machine['cores']} cores shared by all, {machine['system']}, {python}; {versions}.\n",
        "| figure | measured | bound | |",
        "|---|---|---|---|",
    ]
    for scenario, figures in FIGURES.items():
        for name, (words, unit, bound) in figures.items():
            if name in found.get(scenario, {}):
                lines.append(_line(words, unit, bound, found[scenario][name]))
    return "\n".join(lines) + "\n"


def _line(words: str, unit: str, bound: tuple[str, float] | None, value: Any) -> str:
    number = value["median"] if isinstance(value, dict) else value
    spread = f" ({_said(value['least'])} to {_said(value['most'])})" if isinstance(value, dict) else ""
    if bound is None:
        return f"| {words} | {_said(number)}{spread} {unit} | | |"
    reached = number <= bound[1] if bound[0] == "<=" else number >= bound[1]
    sign = "≤" if bound[0] == "<=" else "≥"
    return f"| {words} | {_said(number)}{spread} {unit} | {sign} {_said(bound[1])} | {'reached' if reached else '**missed**'} |"


def _said(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


if __name__ == "__main__":
    main(sys.argv[1:])
