"""A result's peers as a table of Markdown, the fastest first: ``python -m bench.peers.table RESULT.json``.

Below it stands what each peer ran with, and why others are not there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["table"]

COLUMNS = {
    "drain_1_jobs_per_s": "drain, 1 process, jobs/s",
    "drain_2_jobs_per_s": "2 processes",
    "single_jobs_per_s": "enqueue one by one, jobs/s",
    "single_p50_ms": "p50, ms",
    "bulk_jobs_per_s": "in bulk, jobs/s",
    "pickup_p50_ms": "pick-up when idle, p50, ms",
    "pickup_p99_ms": "p99, ms",
    "server_bytes_per_job": "server bytes a job",
}


def table(figures: dict[str, Any]) -> list[str]:
    """Lines of Markdown for what the part ``peers`` found."""
    peers: dict[str, dict[str, Any]] = {}
    for name, value in figures.items():
        peer, _, figure = name.partition(".")
        peers.setdefault(peer, {})[figure] = value
    measured = [peer for peer in peers if "not_available" not in peers[peer]]
    measured.sort(key=lambda peer: peers[peer]["drain_1_jobs_per_s"]["median"], reverse=True)
    return [
        f"| | {' | '.join(COLUMNS.values())} |",
        f"|---{'|---' * len(COLUMNS)}|",
        *(
            f"| {peer} | {' | '.join(_cell(peers[peer].get(figure)) for figure in COLUMNS)} |"
            for peer in measured
        ),
        "",
        *(f"- **{peer}**: {peers[peer]['about']}" for peer in measured),
        *(
            f"- **{peer}** was not measured: {said['not_available']}"
            for peer, said in peers.items()
            if peer not in measured
        ),
    ]


def _cell(value: dict[str, float] | None) -> str:
    if value is None:
        return ""
    return f"{_said(value['median'])} ({_said(value['least'])} to {_said(value['most'])})"


def _said(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


if __name__ == "__main__":
    print("\n".join(table(json.loads(Path(sys.argv[1]).read_text())["peers"])))
