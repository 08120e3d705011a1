"""Settlements as values, and the two calls that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamq.protocol import consume
from streamq.protocol.call import Argument, Call
from streamq.protocol.consume import Finished, Taken

Delivery = tuple[str, str]  # level, entry


class Settlement(NamedTuple):
    """What a worker says of one delivery; ``ok`` is the short form for plain ones."""

    outcome: str
    delivery: Delivery
    pairs: tuple[Argument, ...] = ()


def flat(settlements: Sequence[Settlement]) -> list[Argument]:
    """As arguments of a call: plain completions together, a group for each level."""
    plain: dict[str, list[bytes | str]] = {}
    arguments: list[Argument] = []
    for outcome, (level, entry), pairs in settlements:
        if outcome == "ok":
            plain.setdefault(level, []).append(entry)
        else:
            arguments += consume.settle(outcome, level, entry, pairs)
    for level, entries in plain.items():
        arguments += consume.plain(level, entries, f"{len(entries)} done")
    return arguments


def take(
    anchor: str,
    now: int,
    consumer: str,
    generation: int,
    n: int,
    isolate: int,
    settlements: Sequence[Settlement],
) -> Call[Taken]:
    """``consume.take`` with settlements as values."""
    return consume.take(anchor, now, consumer, generation, n, isolate, flat(settlements))


def finish(
    anchor: str, now: int, consumer: str, generation: int, settlements: Sequence[Settlement]
) -> Call[Finished]:
    """``consume.finish`` with settlements as values."""
    return consume.finish(anchor, now, consumer, generation, flat(settlements))
