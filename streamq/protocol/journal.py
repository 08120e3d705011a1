"""The journal of a running job: what it notes of its steps, and what it waits for, under the fence of its delivery.

What a job asks is an ``Ask``, plain data, so that it can come from another process; who owns the delivery makes a call
of it. Every answer is None when the delivery is not that owner's any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from streamq.protocol.call import Argument, Call
from streamq.protocol.replies import flag, parts, text, twos, unexpected

__all__ = ["Ask", "Awaited", "Delivery", "asked", "await_", "entries", "journal", "read_answer", "recall"]


class Delivery(NamedTuple):
    """Which run of which job, and whose."""

    anchor: str
    consumer: str
    generation: int
    level: str
    entry: str
    job: str


class Ask(NamedTuple):
    """What a running job wants of the server: the function, and its arguments behind those of the delivery."""

    function: str
    args: Sequence[Argument] = ()


class Awaited(NamedTuple):
    """How a wait stands: ``value`` (with the body that was sent), ``over``, or ``waits``."""

    status: str
    body: bytes | None


def recall() -> Ask:
    """All that was noted in earlier runs; the answer is a dict of bodies by field."""
    return Ask("recall")


def journal(field: str, body: bytes) -> Ask:
    """Note something under ``step <name>`` or ``cursor <name>``."""
    return Ask("journal", (field, body))


def await_(kind: str, name: str, limit_ms: int | None, *, fails: bool) -> Ask:
    """How the wait for a ``signal`` or a ``sleep`` stands; the answer is ``Awaited``.

    ``limit_ms`` counts from the first time that it is asked; ``fails``: its end is an error to the job.
    """
    limit = "-" if limit_ms is None else limit_ms
    return Ask("await", (kind, name, limit, "failed" if fails else "default"))


def asked(delivery: Delivery, ask: Ask) -> Call[Any]:
    """The call of an ask."""
    d = delivery
    owner = (d.consumer, d.generation, d.level, d.entry, d.job)
    return Call(ask.function, d.anchor, (0, *owner, *ask.args), partial(read_answer, ask))


def read_answer(ask: Ask, reply: Any) -> Any:
    """What an ask is answered; None when the delivery is somebody else's."""
    return None if reply is None else _READERS[ask.function](reply)


def entries(reply: Any) -> dict[str, bytes]:
    """The fields of a journal and their bodies, without what the journal says of itself."""
    found = {text(field): _body(value) for field, value in twos(reply)}
    return {field: body for field, body in found.items() if " " in field}


def _awaited(reply: Any) -> Awaited:
    status, body = parts(reply, 2)[:2]
    return Awaited(text(status), None if body is None else _body(body))


def _body(reply: Any) -> bytes:
    if isinstance(reply, bytes):
        return reply
    raise unexpected(reply, "a body")


_READERS: dict[str, Callable[[Any], Any]] = {
    "recall": entries,
    "journal": flag,
    "await": _awaited,
}
