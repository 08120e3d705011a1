"""Reading what a take hands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulation.settling import Delivery
from streamq.protocol.consume import RECORD, handed_out


def group_rows(groups: Any) -> list[tuple[str, Any]]:
    """What was handed out as pairs of level and row."""
    return [(level.decode(), row) for level, rows in handed_out(groups) for row in rows]


def identify(level: str, row: Any) -> tuple[Delivery, str]:
    """The delivery of a row, and whose it is."""
    entry = row[0].decode()
    job = row[2][0].decode() if row[1] == RECORD else f"{level}-{entry}"
    return (level, entry), job


def split(delivery: str) -> Delivery:
    """``<level>-<entry>`` in its parts."""
    level, _, entry = delivery.partition("-")
    return level, entry


def pairs(flat: Sequence[Any]) -> list[tuple[str, Any]]:
    """``[name, value, name, value …]`` as pairs."""
    return [(str(flat[i]), flat[i + 1]) for i in range(0, len(flat), 2)]
