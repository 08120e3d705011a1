"""Waiting for the end of a job: register once, then the answer is pushed."""

from __future__ import annotations

from typing import Any, NamedTuple

from streamq.errors import ProtocolError
from streamq.protocol.call import Call
from streamq.protocol.replies import flag, parts, text, unexpected

__all__ = ["GONE", "WAITING", "Ending", "read_push", "unwait", "wait"]

WAITING = "waiting"
GONE = "gone"


class Ending(NamedTuple):
    """``status`` is ``waiting``, an end state, or ``gone``; ``payload`` its result, or what is known of its error."""

    status: str
    payload: bytes | None


def wait(anchor: str, now: int, job: str, reply_key: str) -> Call[Ending]:
    """How the job ended, or ``waiting``: then the answer will be pushed to the list ``reply_key``."""
    return Call("wait", anchor, (now, job, reply_key), _ending)


def unwait(anchor: str, now: int, job: str, reply_key: str) -> Call[bool]:
    """Stop waiting."""
    return Call("unwait", anchor, (now, job, reply_key), flag)


def read_push(pushed: bytes) -> tuple[str, Ending]:
    """A pushed answer, ``<local job id> <status> <payload>``, in its parts."""
    try:
        job, status, payload = pushed.split(b" ", 2)
    except ValueError as error:
        raise ProtocolError(
            f"a pushed answer of {len(pushed)} bytes has not the form 'job status payload'"
        ) from error
    return text(job), Ending(text(status), payload or None)


def _ending(reply: Any) -> Ending:
    status, payload = parts(reply, 2)[:2]
    if payload is not None and not isinstance(payload, bytes):
        raise unexpected(payload, "a payload")
    return Ending(text(status), payload or None)
