"""Reading what a take hands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulation.settling import Delivery


def group_rows(groups: Any) -> list[tuple[str, Any]]:
    """``[level, rows, level, rows …]`` as pairs of level and row."""
    return [
        (level.decode(), row) for level, rows in zip(groups[::2], groups[1::2], strict=True) for row in rows
    ]


def identify(level: str, row: Any) -> tuple[Delivery, str]:
    """The delivery of a row, and whose it is."""
    entry = row[0].decode()
    job = row[1][1].decode() if len(row[1]) > 2 else f"{level}-{entry}"
    return (level, entry), job


def split(delivery: str) -> Delivery:
    """``<level>-<entry>`` in its parts."""
    level, _, entry = delivery.partition("-")
    return level, entry


def pairs(flat: Sequence[Any]) -> list[tuple[str, Any]]:
    """``[name, value, name, value …]`` as pairs."""
    return [(str(flat[i]), flat[i + 1]) for i in range(0, len(flat), 2)]
