"""Which plots a result gives: draws them, and says by which name the report shows each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.growth.curves import curves
from bench.report import plots
from bench.report.derived import drain_rates, life_limit
from bench.report.results import Result, medians
from bench.report.words import AXES, PARTS, words_of

__all__ = ["draw"]

# What is held against the limit: words → (part, figure), and the limit's figure.
SHARES = {
    "enqueue_many by 1,000": (("enqueue", "bulk_1000_jobs_per_s"), "add_1_jobs_per_s"),
    "drain, 1 process": (("drain", "async_1"), "drain_1_jobs_per_s"),
    "drain, 2 processes": (("drain", "async_2"), "drain_2_jobs_per_s"),
}
Place = str


def draw(found: Result, folder: Path) -> dict[Place, Path]:
    """Draw what there are figures for; where each plot belongs in the report → its file."""
    drawn: dict[Place, Path] = {}

    def target(place: Place) -> Path:
        drawn[place] = folder / f"{place}.svg"
        return drawn[place]

    if pairs := _shares(found):
        plots.shares(target("share"), pairs)
    if rates := drain_rates(found):
        plots.bars(target("peers"), "no-op jobs drained by one worker process", "jobs/s", rates, ("streamq",))
    if spans := _spans(found):
        plots.spans(target("latencies"), spans)
    growth = found.parts.get("growth", {})
    for axis in (axes := curves(growth)):
        plots.curves(target(f"growth-{axis}"), axis, axes)
    if takes := _takes(growth):
        plots.distributions(target("takes"), "one take, by what waits beside it", takes)
    if profile := _profile(found):
        plots.bars(
            target("profile"),
            "where a job's microseconds go",
            "µs",
            profile,
            [n for n in profile if "all of it" in n],
        )
    return drawn


def _shares(found: Result) -> dict[str, tuple[float, float]]:
    pairs = {
        name: (found.number(*ours), found.number("limit", limit)) for name, (ours, limit) in SHARES.items()
    }
    pairs["producer and worker at once"] = found.number("steady", "jobs_per_s"), life_limit(found)
    return {name: (ours, limit) for name, (ours, limit) in pairs.items() if ours is not None and limit}


def _spans(found: Result) -> dict[str, tuple[float, float]]:
    """Every latency of which both p50 and p99 were taken; those of peers and growth have plots of their own."""
    spans: dict[str, tuple[float, float]] = {}
    for part in (name for name in PARTS if name in found.parts):
        numbers = medians(found.parts[part])
        for name, middle in numbers.items():
            high = numbers.get(name.replace("p50", "p99"))
            if "p50_ms" in name and high is not None and middle > 0:
                text = words_of(part, name).text.replace("p50", "").strip(" ,")
                spans[f"{PARTS[part]}: {text}".strip(": ")] = (middle, high)
    return spans


def _takes(growth: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """Distributions of takes at the sizes of both axes."""
    return {
        f"{size:,} {AXES[axis]}": value
        for axis, figures in curves(growth).items()
        for size, value in figures.get("take_ms_at", [])
    }


def _profile(found: Result) -> dict[str, float]:
    """What takes time, the largest first; raw commands in a loop are left to the table."""
    numbers = medians(found.parts.get("profile", {}))
    kept = {name: value for name, value in numbers.items() if not name.startswith("Lua") and value > 0}
    return dict(sorted(kept.items(), key=lambda pair: -pair[1]))
