"""Deliveries as the worker runs them. Those of lanes come with more words, which are put where the others have none.

A plain job's id is its level and entry; a lane's job was put in long before its entry was made. So its entry is a
``LaneEntry``: the same bytes, which know their job too. All else is done with both alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from streamq.protocol.consume import RECORD, Row, handed_out

__all__ = ["LANES", "LaneEntry", "cost_of", "deliveries", "job_of", "lane_of"]

LANES = b"l"  # what stands for the level of a lane's deliveries


class LaneEntry(bytes):
    """The entry of a plain delivery from a lane. ``words`` are its lane and, where it is not 1, its cost."""

    job: bytes
    words: bytes


def deliveries(groups: Sequence[Any]) -> Iterator[tuple[bytes, list[Row]]]:
    """Those of a reply's ``groups``, by level."""
    for level, rows in handed_out(groups):
        yield level, [_from_lane(row) for row in rows] if level == LANES else rows


def job_of(level: bytes, entry: bytes) -> bytes:
    """The local id of a plain delivery's job."""
    return entry.job if isinstance(entry, LaneEntry) else level + b"-" + entry


def lane_of(row: Row) -> str | None:
    """The lane that the job waited in; None when it waited in none."""
    words = _words(row)
    return words[0].decode() if words else None


def cost_of(row: Row) -> float:
    """What the job was estimated to cost."""
    words = _words(row)
    return float(words[1]) if len(words) > 1 and words[1] else 1.0


def _words(row: Row) -> Sequence[bytes]:
    """Lane and cost, as far as the delivery has them."""
    entry, task, value = row
    if task == RECORD:
        return value[5:7] if len(value) > 5 and value[5] else ()
    return entry.words.split(b" ") if isinstance(entry, LaneEntry) else ()


def _from_lane(row: Row) -> Row:
    entry, words, body = row
    if words == RECORD:
        return row
    known = LaneEntry(entry)
    known.job, task, known.words = words.split(b" ", 2)
    return known, task, body
