"""Steering: pause, cancel, promote, dead letters, purge, remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from streamq.protocol.call import Argument, Call, Flow
from streamq.protocol.replies import flag, integer, parts, text

__all__ = [
    "Step",
    "cancel",
    "drop",
    "pause",
    "promote",
    "purge",
    "purge_step",
    "remove",
    "resume",
    "retry",
    "retry_all",
    "retry_step",
    "signal",
]


class Step(NamedTuple):
    """One step over many jobs: how many were touched, where the next step starts (empty: done), and its bound."""

    touched: int
    cursor: str
    bound: str


def pause(anchor: str, now: int, note: str = "") -> Call[bool]:
    """Nothing more is given to workers; what runs goes on. ``note`` is shown to people."""
    return Call("pause", anchor, (now, note), flag)


def resume(anchor: str, now: int) -> Call[bool]:
    """The opposite of pause."""
    return Call("resume", anchor, (now,), flag)


def cancel(anchor: str, now: int, job: str) -> Call[str]:
    """``CANCELLED``, ``ASKED`` (it runs, and its worker is told) or ``GONE``."""
    return Call("cancel", anchor, (now, job), text)


def promote(anchor: str, now: int, job: str) -> Call[bool]:
    """A scheduled or retrying job becomes due now. Raises ``WrongState`` for another."""
    return Call("promote", anchor, (now, job), flag)


def signal(
    anchor: str, now: int, job: str, name: str, body: Argument, *, replace: bool = False
) -> Call[bool]:
    """Send a job a signal; False when it had one of that name before, which stands unless ``replace``."""
    args = (now, job, name, body, *(("replace",) if replace else ()))
    return Call("signal", anchor, args, _is_sent)


def retry(anchor: str, now: int, job: str, replacement: tuple[str, bytes] | None = None) -> Call[bool]:
    """A dead job runs again, its attempts start anew; ``replacement``: another task and body for it."""
    return Call("retry", anchor, (now, job, *(replacement or ())), flag, repeatable=False)


def retry_step(
    anchor: str,
    now: int,
    cursor: str = "-",
    bound: str = "0",
    limit: int = 250,
    pairs: Sequence[Argument] = (),
) -> Call[Step]:
    """Look at ``limit`` dead jobs and retry those that match ``pairs`` (task, error, reason, tag)."""
    return Call("retry_all", anchor, (now, cursor, bound, limit, *pairs), _step, repeatable=False)


def retry_all(anchor: str, now: int, pairs: Sequence[Argument] = ()) -> Flow[int]:
    """Retry all dead jobs that match, in steps; how many were."""
    total, step = 0, Step(0, "-", "0")
    while step.cursor:
        step = yield retry_step(anchor, now, step.cursor, step.bound, pairs=pairs)
        total += step.touched
    return total


def drop(anchor: str, now: int, job: str) -> Call[bool]:
    """Remove one dead job."""
    return Call("drop", anchor, (now, job), flag, repeatable=False)


def purge_step(anchor: str, now: int, what: str, cursor: str = "-", bound: str = "0") -> Call[Step]:
    """Remove at most 500 jobs of ``pending``, ``delayed``, ``waiting``, ``gated``, ``suspended``, ``following`` or ``dead``."""
    return Call("purge", anchor, (now, what, cursor, bound), _step, repeatable=False)


def purge(anchor: str, now: int, what: str) -> Flow[int]:
    """Remove all that is there at the moment, in steps; how many were."""
    total, step = 0, Step(0, "-", "0")
    while step.cursor:
        step = yield purge_step(anchor, now, what, step.cursor, step.bound)
        total += step.touched
    return total


def remove(anchor: str, now: int) -> Call[bool]:
    """The queue goes away with its figures; False when there is none. Raises WrongState while it has jobs or workers."""
    return Call("remove", anchor, (now,), flag)


def _is_sent(reply: Any) -> bool:
    return text(reply) == "SENT"


def _step(reply: Any) -> Step:
    touched, cursor, bound = parts(reply, 3)[:3]
    return Step(integer(touched), text(cursor), text(bound))
