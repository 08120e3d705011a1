"""Plots as SVG, the same bytes for the same figures: no dates, no random ids, text as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.growth.curves import Curves
from bench.report.results import medians
from bench.report.words import AXES, words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bars", "curves", "distributions", "shares", "spans"]

OURS, OTHER, FAINT = "#0b6e99", "#b0bec5", "#dfe5e8"
LINES = ("#0b6e99", "#d1495b", "#66a182", "#edae49")
STYLE: dict[str, Any] = {
    "svg.hashsalt": "streamq",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "legend.frameon": False,
}


def bars(file: Path, title: str, unit: str, values: Mapping[str, float], ours: Sequence[str] = ()) -> None:
    """A bar for each value, the first on top; ``ours`` are shown in another colour."""
    figure, (axes,) = _page(1, height=0.8 + 0.26 * len(values))
    names = list(values)[::-1]
    drawn = axes.barh(
        names, [values[name] for name in names], color=[OURS if name in ours else OTHER for name in names]
    )
    axes.bar_label(drawn, [_short(values[name]) for name in names], padding=3)
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    axes.set(title=title, xlabel=unit)
    _save(figure, file)


def shares(file: Path, pairs: Mapping[str, tuple[float, float]]) -> None:
    """For each name what streamq does and what the limit is, as two bars, with the share in percent."""
    figure, (axes,) = _page(1, height=0.9 + 0.5 * len(pairs))
    names = list(pairs)[::-1]
    axes.barh(names, [pairs[name][1] for name in names], color=OTHER, height=0.75, label="the limit")
    ours = axes.barh(names, [pairs[name][0] for name in names], color=OURS, height=0.4, label="streamq")
    axes.bar_label(ours, [f"{pairs[name][0] / pairs[name][1]:.0%}" for name in names], padding=3)
    axes.grid(visible=False, axis="y")
    axes.set(title="streamq, and raw commands from C on the same server", xlabel="jobs/s")
    axes.legend(loc="lower right")
    _save(figure, file)


def curves(file: Path, axis: str, found: Curves) -> None:
    """One axis of growth: a panel for each unit, with the curves of that unit."""
    panels: dict[str, list[str]] = {}
    for name, points in found[axis].items():
        if all(isinstance(value, int | float) or "median" in value for _, value in points):
            panels.setdefault(words_of("growth", name).unit or name, []).append(name)
    figure, panes = _page(len(panels), height=2.4)
    for pane, (unit, names) in zip(panes, panels.items(), strict=True):
        for colour, name in zip(LINES * len(names), names, strict=False):
            _curve(pane, colour, name, found[axis][name])
        pane.set(title=unit, xlabel=AXES.get(axis, axis), xscale="log")
        if unit == "MB":
            pane.set_yscale("log")
        else:
            pane.set_ylim(bottom=0)
        sizes = sorted({size for name in names for size, _ in found[axis][name]})
        pane.set_xticks(sizes, [_size(size) for size in sizes])
        pane.minorticks_off()
        pane.legend(fontsize=7)
    _save(figure, file)


def distributions(file: Path, title: str, found: Mapping[str, Mapping[str, float]]) -> None:
    """For each name its percentiles, in milliseconds, on a logarithmic scale."""
    figure, (axes,) = _page(1, height=3)
    for number, (name, points) in enumerate(found.items()):
        colour = LINES[number % len(LINES)]
        line = ("-", "--", ":")[number // len(LINES) % 3]
        axes.plot(list(points), list(points.values()), line, marker=".", color=colour, label=name)
    axes.set(title=title, ylabel="ms", yscale="log")
    axes.legend(fontsize=7)
    _save(figure, file)


def spans(file: Path, found: Mapping[str, tuple[float, float]]) -> None:
    """For each name a line from its p50 to its p99, in milliseconds, on a logarithmic scale."""
    figure, (axes,) = _page(1, height=0.9 + 0.24 * len(found))
    for place, (name, (middle, high)) in enumerate(reversed(list(found.items()))):
        axes.plot((middle, high), (name, name), color=OURS)
        axes.plot(middle, place, "o", color=OURS)
        axes.plot(high, place, "|", color=OURS)
    axes.set(title="latencies, from p50 (the dot) to p99", xlabel="ms", xscale="log")
    _save(figure, file)


def _curve(axes: Axes, colour: str, name: str, points: Sequence[tuple[int, Any]]) -> None:
    sizes, values = [size for size, _ in points], [value for _, value in points]
    middles = [medians({"": value})[""] for value in values]
    axes.plot(sizes, middles, marker=".", color=colour, label=words_of("growth", name).text)
    if all(isinstance(value, dict) for value in values):
        axes.fill_between(
            sizes, [v["least"] for v in values], [v["most"] for v in values], color=colour, alpha=0.15
        )


def _page(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """An empty figure with so many panels beside each other, at most two in a line. Needs matplotlib (extra ``bench``)."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(STYLE)
    columns = min(2, panels)
    lines = -(-panels // columns)
    figure = Figure(figsize=(8, height * lines), layout="constrained")
    drawn = list(figure.subplots(lines, columns, squeeze=False).flat)
    for spare in drawn[panels:]:
        spare.set_visible(False)
    return figure, drawn[:panels]


def _save(figure: Figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})


def _size(number: int) -> str:
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:g}{name}"
    return str(number)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"
