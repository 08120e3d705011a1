"""Limits of a queue: what the code says of them, what operators change, what outsiders take, and how they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from streamq.protocol.call import Argument, Call, Flow
from streamq.protocol.replies import flag, integer, number, pairs, parts, text

__all__ = [
    "Acquired",
    "LaneInfo",
    "LimitInfo",
    "LimitPage",
    "acquire",
    "declare",
    "declare_some",
    "lanes",
    "lanes_page",
    "limit",
    "limits",
    "limits_page",
    "override",
    "override_first",
    "reset",
    "spent",
    "stop",
    "unset",
    "unset_first",
    "wake_step",
]

_PAGE = 250  # of a list in one call
_DECLARED = 200  # limits in one call
_START = "-"


class Acquired(NamedTuple):
    """Whether the tokens were given; else in how many ms to ask again (-1: not known), and which limit is short of them."""

    granted: bool
    wait_ms: int
    blocked_by: str


class LimitInfo(NamedTuple):
    """A limit of a queue. ``rule`` is what holds, of what was ``declared`` in code and the ``override`` of an operator.

    ``tokens`` in its bucket now (empty without a rate), ``used`` slots, jobs and bytes that wait under its quota, lanes that
    wait for it, and until when (ms) it is shut; ``phase`` is that of its breaker.
    """

    name: str
    rule: str
    declared: str
    override: str
    tokens: str
    used: int
    queued: int
    bytes: int
    lanes: int
    closed_until_ms: int
    phase: str


class LimitPage(NamedTuple):
    """Some limits, and where the next ones start (empty: these were the last)."""

    next: str
    limits: list[LimitInfo]


class LaneInfo(NamedTuple):
    """A lane at one level: jobs that wait, for how many ms the oldest does, where the lane stands, and its weight.

    ``where`` is ``ring`` when it may go on, else the limit that it waits for.
    """

    level: int
    lane: str
    waiting: int
    oldest_ms: int
    where: str
    weight: float


class LanePage(NamedTuple):
    """Some lanes, and where the next ones start (empty: these were the last)."""

    next: str
    lanes: list[LaneInfo]


def declare(anchor: str, now: int, rules: Mapping[str, str]) -> Flow[None]:
    """What the code says of limits, by name. It holds unless an operator has said something else."""
    items = list(rules.items())
    for start in range(0, len(items), _DECLARED):
        yield declare_some(anchor, now, items[start : start + _DECLARED])


def declare_some(anchor: str, now: int, rules: Sequence[tuple[str, str]]) -> Call[int]:
    """The same of at most 200; how many of them have changed."""
    args: list[Argument] = [now, *chain.from_iterable(rules)]
    return Call("limit_declare", anchor, args, integer)


def override(anchor: str, now: int, name: str, rule: str, who: str) -> Flow[None]:
    """What an operator says of a limit: it holds before what the code says."""
    cursor = yield override_first(anchor, now, name, rule, who)
    yield from _wake(anchor, now, name, cursor)


def override_first(anchor: str, now: int, name: str, rule: str, who: str) -> Call[str]:
    """The same; where to go on waking what waits for keys of this name, or an empty text."""
    return Call("limit_set", anchor, (now, name, rule, who), text)


def unset(anchor: str, now: int, name: str, who: str) -> Flow[None]:
    """What the code says of a limit holds again. Raises ``JobNotFound`` when nobody has set it."""
    cursor = yield unset_first(anchor, now, name, who)
    yield from _wake(anchor, now, name, cursor)


def unset_first(anchor: str, now: int, name: str, who: str) -> Call[str]:
    """The same; where to go on waking what waits for keys of this name, or an empty text."""
    return Call("limit_unset", anchor, (now, name, who), text, repeatable=False)


def wake_step(anchor: str, now: int, name: str, cursor: str) -> Call[str]:
    """Lanes that wait for keys of this name look at what it says now; where to go on, or an empty text."""
    return Call("limit_wake", anchor, (now, name, cursor), text)


def _wake(anchor: str, now: int, name: str, cursor: str) -> Flow[None]:
    while cursor:
        cursor = yield wake_step(anchor, now, name, cursor)


def stop(anchor: str, now: int, name: str, ms: int, who: str) -> Call[bool]:
    """Shut a limit for a time."""
    return Call("limit_stop", anchor, (now, name, ms, who), flag)


def reset(anchor: str, now: int, name: str, who: str) -> Call[bool]:
    """Open a limit: a full bucket, a closed breaker."""
    return Call("limit_reset", anchor, (now, name, who), flag)


def acquire(anchor: str, now: int, wanted: Sequence[tuple[str, str]]) -> Call[Acquired]:
    """Take tokens, by name and cost, of all limits or of none."""
    args: list[Argument] = [now, *chain.from_iterable(wanted)]
    return Call("limit_acquire", anchor, args, _acquired, repeatable=False)


def spent(anchor: str, now: int, name: str, difference: str) -> Call[Any]:
    """A job took more tokens than it was estimated to, or less (a negative difference)."""
    return Call("limit_spent", anchor, (now, name, difference), text, repeatable=False)


def limits_page(anchor: str, now: int, cursor: str = _START, count: int = _PAGE) -> Call[LimitPage]:
    """A page of the limits of a queue."""
    return Call("limits", anchor, (now, cursor, count), _limits, readonly=True)


def limits(anchor: str, now: int) -> Flow[list[LimitInfo]]:
    """All limits of a queue that somebody has declared, set or used."""
    page = yield limits_page(anchor, now)
    found: list[LimitInfo] = page.limits
    while page.next:
        page = yield limits_page(anchor, now, page.next)
        found += page.limits
    return found


def limit(anchor: str, now: int, name: str) -> Call[dict[str, str]]:
    """All that is known of a limit, by name; who holds its slots too."""
    return Call("limit", anchor, (now, name), pairs, readonly=True)


def lanes_page(anchor: str, now: int, cursor: str = _START, count: int = _PAGE) -> Call[LanePage]:
    """A page of the lanes that have jobs."""
    return Call("lanes", anchor, (now, cursor, count), _lanes, readonly=True)


def lanes(anchor: str, now: int, most: int) -> Flow[list[LaneInfo]]:
    """The lanes that have jobs, in no order; ``most`` of them at least where there are so many."""
    page = yield lanes_page(anchor, now)
    found: list[LaneInfo] = page.lanes
    while page.next and len(found) < most:
        page = yield lanes_page(anchor, now, page.next)
        found += page.lanes
    return found


def _acquired(reply: Any) -> Acquired:
    granted, wait, name = parts(reply, 3)[:3]
    return Acquired(flag(granted), integer(wait), text(name))


def _limits(reply: Any) -> LimitPage:
    after, *rows = parts(reply, 1)
    return LimitPage(text(after), [_limit(row) for row in rows])


def _limit(row: Any) -> LimitInfo:
    name, rule, declared, set_to, tokens, used, queued, size, waiting, closed, phase = parts(row, 11)[:11]
    return LimitInfo(
        text(name),
        text(rule),
        text(declared),
        text(set_to),
        text(tokens),
        integer(used),
        integer(queued),
        integer(size),
        integer(waiting),
        integer(closed),
        text(phase),
    )


def _lanes(reply: Any) -> LanePage:
    after, *rows = parts(reply, 1)
    return LanePage(text(after), [_lane(row) for row in rows])


def _lane(row: Any) -> LaneInfo:
    level, lane, waiting, oldest, where, weight = parts(row, 6)[:6]
    return LaneInfo(
        integer(level), text(lane), integer(waiting), integer(oldest), text(where), number(weight)
    )
