"""Points and curves: a point is the figures of one size on one axis, flat in a result as ``<axis>_<size>.<figure>``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bench.ground import Run

__all__ = ["Curves", "curves", "point", "sizes"]

Curves = dict[str, dict[str, list[tuple[int, Any]]]]  # axis → figure → (size, value), the smallest size first
_POINT = re.compile(r"(?P<axis>[a-z]+)_(?P<size>\d+)\.(?P<figure>\w+)")


def point(axis: str, size: int, figures: Mapping[str, object]) -> dict[str, object]:
    """The figures under their names in a result."""
    return {f"{axis}_{size}.{figure}": value for figure, value in figures.items()}


def curves(found: Mapping[str, Any]) -> Curves:
    """All points of a result, put together."""
    axes: Curves = {}
    for name, value in found.items():
        if match := _POINT.fullmatch(name):
            axes.setdefault(match["axis"], {}).setdefault(match["figure"], []).append(
                (int(match["size"]), value)
            )
    for figures in axes.values():
        for points in figures.values():
            points.sort(key=lambda pair: pair[0])
    return axes


def sizes(run: Run, full: Iterable[int], least: int = 1) -> list[int]:
    """The sizes of an axis, cut by the run's scale, each once."""
    return sorted({max(least, int(size * run.scale)) for size in full})
