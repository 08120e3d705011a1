"""The headline: figures that hold others of the same run against each other."""

from __future__ import annotations

from bench.peers.description import peers
from bench.report.results import Result, medians

__all__ = ["DERIVED", "derived", "drain_rates", "life_limit"]

DERIVED = "headline"
NOT_PURE = ("chasquimq",)  # a Python API on an engine in another language
DRAIN = "drain_1_jobs_per_s"


def derived(found: Result) -> dict[str, float]:
    """Shares of the limit in percent, and multiples of the raw commands' cost and of the best peers."""
    number = found.number
    ratios = {
        "share_1": _ratio(number("drain", "async_1"), number("limit", "drain_1_jobs_per_s")),
        "share_2": _ratio(number("drain", "async_2"), number("limit", "drain_2_jobs_per_s")),
        "share_life": _ratio(number("steady", "jobs_per_s"), life_limit(found)),
        "share_add": _ratio(number("enqueue", "bulk_1000_jobs_per_s"), number("limit", "add_1_jobs_per_s")),
        "server_cost": _ratio(_life(found, "engine"), _life(found, "raw")),
        **_peers(found),
    }
    return {
        name: value * 100 if name.startswith("share") else value
        for name, value in ratios.items()
        if value is not None
    }


def drain_rates(found: Result) -> dict[str, float]:
    """Jobs/s of each measured peer with one process, the fastest first."""
    rates = {
        name.partition(".")[0]: value
        for name, value in medians(found.parts.get("peers", {})).items()
        if name.endswith(f".{DRAIN}")
    }
    return dict(sorted(rates.items(), key=lambda pair: -pair[1]))


def life_limit(found: Result) -> float | None:
    """Jobs/s of the whole life in raw commands, with as many connections as are best."""
    rates = [found.number("limit", f"both_{connections}_jobs_per_s") for connections in (1, 2)]
    return max((rate for rate in rates if rate is not None), default=None)


def _peers(found: Result) -> dict[str, float | None]:
    """streamq, as it was measured among them, against the best of each sort."""
    rates = drain_rates(found)
    ours = rates.pop("streamq", None)
    pure = {peer.name for peer in peers() if peer.is_python} - {*NOT_PURE}
    sorts = {
        "times_best_python": [rate for name, rate in rates.items() if name in pure],
        "times_best_other": [rate for name, rate in rates.items() if name not in pure],
    }
    return {name: _ratio(ours, max(found)) for name, found in sorts.items() if found}


def _life(found: Result, part: str) -> float | None:
    """Server CPU of a job's whole life."""
    add, drain = (found.number(part, f"{what}_server_us") for what in ("add", "drain"))
    return None if add is None or drain is None else add + drain


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None
