"""Tables of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.growth.curves import Curves
from bench.report.asked import said
from bench.report.words import AXES, words_of

__all__ = ["cell", "curve_table", "figure_table", "rows", "table"]


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; every line has as many cells as the head."""
    drawn = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *drawn])


def figure_table(part: str, found: Mapping[str, Any]) -> str:
    """A part's figures, what was asked of them, and whether it is met."""
    return table(("figure", "measured", "asked", ""), rows(part, found))


def rows(part: str, found: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """The lines of such a table; distributions are left to the plots."""
    return [
        _row(part, name, value)
        for name, value in found.items()
        if not isinstance(value, dict) or "median" in value
    ]


def curve_table(axis: str, curves: Curves) -> str:
    """One axis: a line for each size."""
    figures = {name: dict(points) for name, points in curves[axis].items() if not name.endswith("_at")}
    sizes = sorted({size for points in figures.values() for size in points})
    names = [words_of("growth", name) for name in figures]
    return table(
        (AXES.get(axis, axis), *(f"{words.text}, {words.unit}".strip(", ") for words in names)),
        [
            (f"{size:,}", *(cell(points[size]) if size in points else "" for points in figures.values()))
            for size in sizes
        ],
    )


def cell(value: Any) -> str:
    """A number, one with its spread, or words."""
    if isinstance(value, dict):
        return f"{said(value['median'])} ({said(value['least'])} to {said(value['most'])})"
    return said(value) if isinstance(value, int | float) else str(value).replace("|", "\\|")


def _row(part: str, name: str, value: Any) -> tuple[str, str, str, str]:
    words = words_of(part, name)
    measured = f"{cell(value)} {words.unit}".strip()
    if words.asked is None or isinstance(value, str):
        return words.text, measured, "", ""
    number = value["median"] if isinstance(value, dict) else value
    return words.text, measured, str(words.asked), words.asked.judged(number)
