"""The report's page: sections, in the order in which somebody reads them, each of which is left out when nothing was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.growth.curves import curves
from bench.peers.table import table as peers_table
from bench.report.derived import DERIVED, derived
from bench.report.results import Result
from bench.report.tables import curve_table, figure_table, rows, table
from bench.report.words import AXES, PARTS

__all__ = ["page"]

HEAD = """\
# Performance report

What streamq does a second, what it costs, how it grows, and how far it is from the server under it. Every figure comes
from `python -m bench` (sources in [bench/](bench/)), on a private server that listens on a unix socket of the same machine,
with everything on that is on by default: supervisor, leases, timeouts, counters, the log of completions, statistics.
Machines are noisy: read the ratios, and take your own with `make bench`.

Where two bounds were asked, the first was that of the first engine, the second is that of the present one. Figures that
were taken several times are medians, with the least and the most.
"""
OWN_SECTIONS = ("peers", "growth", "profile", "soak")
Plots = Mapping[str, Path]


def page(results: list[tuple[Result, Plots]], notes: str, root: Path) -> str:
    """The whole text; plots are named by their paths below ``root``."""
    sections = [HEAD]
    for found, drawn in results:
        shown = {place: file.relative_to(root).as_posix() for place, file in drawn.items()}
        sections += _sections(found, shown)
    return "\n".join([*sections, notes])


def _sections(found: Result, plots: Mapping[str, str]) -> Iterator[str]:
    yield f"## {found.kind}\n"
    yield f"{_machine(found.machine)}\n\n{_dates(found)}\n"
    if ratios := derived(found):
        yield f"### Headline\n\n{figure_table(DERIVED, ratios)}\n\n{_shown(plots, 'share')}"
    yield f"### All figures\n\n{_all_figures(found)}\n\n{_shown(plots, 'latencies')}"
    if peers := found.parts.get("peers"):
        yield "\n".join(["### Peers\n", _shown(plots, "peers"), *peers_table(dict(peers)), ""])
    if growth := found.parts.get("growth"):
        yield _growth(growth, plots)
    if profile := found.parts.get("profile"):
        yield _profile(profile, plots)
    if soak := found.parts.get("soak"):
        yield f"### Soak under Locust\n\n{figure_table('soak', soak)}\n"


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    cores = f"{machine['cores']} cores shared by all"  # the server, the workers and the producer
    where = f"{machine.get('processor', machine['system'])}, {cores}, {machine.get('memory_gb', '?')} GB"
    allocator = f"the server's allocator is {machine.get('allocator', 'unknown')}"
    return f"{where}; {machine['system']}, Python {machine['python']}; {versions}; {allocator}."


def _dates(found: Result) -> str:
    """Which parts belong to one run, and which failed."""
    runs: dict[str, list[str]] = {}
    for part, date in found.dates.items():
        runs.setdefault(date, []).append(part)
    lines = [f"* {date}: {', '.join(parts)}" for date, parts in sorted(runs.items())]
    return "\n".join([*lines, *(f"* **{part} failed**: {why}" for part, why in found.failed.items())])


def _all_figures(found: Result) -> str:
    """One table, with a line that names each part above its figures."""
    parts = sorted(
        (name for name in found.parts if name not in OWN_SECTIONS),
        key=lambda name: (list(PARTS).index(name) if name in PARTS else len(PARTS), name),
    )
    lines: list[tuple[str, str, str, str]] = []
    for part in parts:
        lines += [(f"**{PARTS.get(part, part)}**", "", "", ""), *rows(part, found.parts[part])]
    return table(("figure", "measured", "asked", ""), lines)


def _growth(growth: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    """Each axis as a plot and a table; first what was asked."""
    axes = curves(growth)
    asked = {name: value for name, value in growth.items() if "." not in name or name in _asked(growth)}
    lines = ["### Growth\n", figure_table("growth", asked), ""] if asked else ["### Growth\n"]
    lines.append(_shown(plots, "takes"))
    for axis in axes:
        lines += [
            f"#### By {AXES.get(axis, axis)}\n",
            _shown(plots, f"growth-{axis}"),
            curve_table(axis, axes),
            "",
        ]
    return "\n".join(lines)


def _asked(growth: Mapping[str, Any]) -> set[str]:
    return {name for name, row in zip(growth, rows("growth", growth), strict=False) if row[2]}


def _profile(profile: Mapping[str, Any], plots: Mapping[str, str]) -> str:
    """Where a job's microseconds go."""
    numbers = {name: value for name, value in profile.items() if name != "functions"}
    lines = [
        "### Where a job's microseconds go\n",
        _shown(plots, "profile"),
        figure_table("profile", numbers),
        "",
    ]
    if functions := profile.get("functions"):
        lines += [
            "The worker's functions, µs and calls a job of their own, under cProfile:\n",
            f"```\n{functions}\n```\n",
        ]
    return "\n".join(lines)


def _shown(plots: Mapping[str, str], place: str) -> str:
    return f"![{place}]({plots[place]})\n" if place in plots else ""
