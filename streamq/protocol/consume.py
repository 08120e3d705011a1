"""Taking jobs out, settling them, and the life of a consumer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from streamq.protocol.call import Argument, Call
from streamq.protocol.replies import flag, integer, parts, text, texts, twos

__all__ = [
    "MAX_TAKE",
    "RECORD",
    "Adopted",
    "Finished",
    "Registered",
    "Renewed",
    "Row",
    "Taken",
    "abandon",
    "adopt",
    "finish",
    "handed_out",
    "plain",
    "progress",
    "recover",
    "register",
    "renew",
    "report",
    "retire",
    "settle",
    "take",
]

MAX_TAKE = 500
MAX_HOW = 200  # bytes
RECORD = b"@"  # the field of an entry whose job has a record
Row = tuple[bytes, bytes, Any]  # entry, task, body; or entry, RECORD, [job id, task, body, attempt, created]


class Registered(NamedTuple):
    """A new consumer, the shard's monotonic clock and the server's clock, both in ms."""

    consumer: str
    mono: int
    now: int


class Taken(NamedTuple):
    """What a take answers; docs/protocol.md names the parts. ``groups`` and ``alone`` are left raw: they are the hot path."""

    state: str
    mono: int
    now: int
    fence: int
    sleep: int
    refused: list[tuple[str, str]]
    wanted: list[tuple[str, str]]
    commands: list[str]
    suspects: int
    groups: list[Any]
    alone: list[Any]


class Finished(NamedTuple):
    """What a finish answers."""

    state: str
    refused: list[tuple[str, str]]
    wanted: list[tuple[str, str]]


class Adopted(NamedTuple):
    """What a consumer owns after its connection broke."""

    state: str
    groups: list[Any]
    mono: int
    now: int
    fence: int


class Renewed(NamedTuple):
    """How many suspects wait, and for each consumer ``ok``, ``command`` or ``gone``."""

    suspects: int
    status: list[str]


def plain(
    level: str | int,
    entries: Sequence[bytes | str],
    line: str | bytes = "",
    jobs: Sequence[bytes | str] = (),
) -> list[Argument]:
    """The settlement of plain completions of one level; ``line`` goes into the done log.

    ``jobs``: those of level ``l``, whose entries do not say which they are.
    """
    return ["ok", level, len(entries), line, *entries, *jobs]


def settle(
    outcome: str, level: str | bytes | int, entry: str | bytes, pairs: Sequence[Argument] = ()
) -> list[Argument]:
    """The settlement of one delivery: done, retry, snooze, park, dead, cancelled or release; ``pairs`` is flat."""
    return [outcome, level, entry, len(pairs), *pairs]


def handed_out(groups: Sequence[Any]) -> Iterator[tuple[bytes, list[Row]]]:
    """The deliveries of a reply's ``groups``, by level."""
    for level, flat in zip(groups[::2], groups[1::2], strict=True):
        yield level, list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


def take(
    anchor: str,
    now: int,
    consumer: str,
    generation: int,
    n: int,
    isolate: int = 0,
    settlements: Sequence[Argument] = (),
) -> Call[Taken]:
    """Settle, then take up to ``n`` deliveries (at most 500) and up to ``isolate`` suspects."""
    args = (now, consumer, generation, n, isolate, *settlements)
    return Call("take", anchor, args, _taken, repeatable=False)


def finish(
    anchor: str, now: int, consumer: str, generation: int, settlements: Sequence[Argument]
) -> Call[Finished]:
    """Settle only."""
    return Call("finish", anchor, (now, consumer, generation, *settlements), _finished, repeatable=False)


def register(anchor: str, now: int, lease_ms: int, about: str = "") -> Call[Registered]:
    """A fresh consumer with a lease of ``lease_ms``; ``about`` is shown to people."""
    return Call(
        "register",
        anchor,
        (now, lease_ms, about),
        _registered,
    )


def adopt(anchor: str, now: int, consumer: str, generation: int) -> Call[Adopted]:
    """What the consumer owns; ``generation`` must be larger than any before."""
    return Call(
        "adopt",
        anchor,
        (now, consumer, generation),
        _adopted,
        repeatable=False,
    )


def renew(anchor: str, now: int, lease_ms: int, consumers: Iterable[str]) -> Call[Renewed]:
    """Renew the leases of consumers, and drive recovery."""
    return Call("renew", anchor, (now, lease_ms, *consumers), _renewed)


def abandon(
    anchor: str,
    now: int,
    consumer: str,
    *,
    alone: bool = False,
    how: str = "",
    suspects: Iterable[str] = (),
) -> Call[int]:
    """A consumer's process is dead. ``suspects``: ``<level>-<entry>`` of what had started (at most 1,000).

    ``alone``: it ran nothing else, so that its death counts against a suspect. ``how`` it died is for people; what is
    beyond 200 bytes is cut off.
    """
    said = how.encode()[:MAX_HOW].decode("utf-8", "ignore")
    pairs = ("how", said) if said else ()
    mode = "alone" if alone else "shared"
    return Call("abandon", anchor, (now, consumer, mode, len(pairs), *pairs, *suspects), integer)


def retire(anchor: str, now: int, consumer: str) -> Call[int]:
    """A consumer leaves; what it still owns is given to others."""
    return Call("retire", anchor, (now, consumer), integer)


def recover(anchor: str, now: int) -> Call[int]:
    """Give back what consumers hold whose lease is over."""
    return Call("recover", anchor, (now,), integer)


def progress(
    anchor: str,
    now: int,
    consumer: str,
    generation: int,
    delivery: tuple[str, str],
    job: str,
    pairs: Sequence[Argument],
) -> Call[bool]:
    """Tell of a running job; False when the delivery is not the caller's any more, or it is asked to stop."""
    level, entry = delivery
    args = (now, consumer, generation, level, entry, job, len(pairs), *pairs)
    return Call("progress", anchor, args, flag)


def report(anchor: str, now: int, counts: Iterable[tuple[str, int]]) -> Call[bool]:
    """Add counts to the statistics of the current minute."""
    return Call(
        "report",
        anchor,
        (now, *(part for count in counts for part in count)),
        flag,
        repeatable=False,
    )


def _registered(reply: Any) -> Registered:
    consumer, mono, now = parts(reply, 3)[:3]
    return Registered(text(consumer), integer(mono), integer(now))


def _adopted(reply: Any) -> Adopted:
    state, groups, mono, now, fence = parts(reply, 5)[:5]
    return Adopted(text(state), parts(groups, 0), integer(mono), integer(now), integer(fence))


def _renewed(reply: Any) -> Renewed:
    suspects, *status = parts(reply, 1)
    return Renewed(integer(suspects), texts(status))


def _deliveries(reply: Any) -> list[tuple[str, str]]:
    return [(text(level), text(entry)) for level, entry in twos(reply)]


def _taken(reply: Any) -> Taken:
    state, mono, now, fence, sleep, refused, wanted, commands, suspects, groups, alone = parts(reply, 11)[:11]
    return Taken(
        text(state),
        integer(mono),
        integer(now),
        integer(fence),
        integer(sleep),
        _deliveries(refused),
        _deliveries(wanted),
        texts(commands),
        integer(suspects),
        parts(groups, 0),
        parts(alone, 0),
    )


def _finished(reply: Any) -> Finished:
    state, refused, wanted = parts(reply, 3)[:3]
    return Finished(text(state), _deliveries(refused), _deliveries(wanted))
