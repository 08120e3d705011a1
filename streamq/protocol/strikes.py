"""Strikes: stopping a task, or its jobs whose arguments match, without a deploy.

The server keeps the conditions, workers compare them with the arguments of jobs: both sides as texts (``as_text``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamq.protocol.call import Argument, Call
from streamq.protocol.replies import flag, integer, pairs, parts, text

__all__ = ["Strike", "as_text", "strike", "strikes", "unstrike"]

_WHERE = "where "


@dataclass(frozen=True, slots=True)
class Strike:
    """A strike as one shard has it. ``until_ms`` None: it lasts until it is lifted. ``waiting``: jobs put aside."""

    id: str
    task: str
    where: Mapping[str, str]
    until_ms: int | None
    note: str
    by: str
    at_ms: int
    waiting: int = 0


def as_text(value: Any) -> str:
    """A value as conditions compare it: a text as it is, anything else as JSON, what JSON does not know as ``str`` says it."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        return json.dumps(value, default=str, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):  # keys that are no texts, or of several kinds
        return str(value)


def strike(
    anchor: str,
    now: int,
    strike_id: str,
    task: str,
    where: Mapping[str, str],
    options: Mapping[str, Argument],
) -> Call[bool]:
    """Stop a task, or its jobs whose arguments are ``where``; False when there is a strike with that id already.

    ``options``: ``for`` (ms) or ``until`` (ms since 1970), ``note``, ``by``. Raises LimitExceeded for the 101st.
    """
    told = [part for pair in options.items() for part in pair]
    conditions = [part for pair in where.items() for part in pair]
    return Call("strike", anchor, (now, strike_id, task, len(told), *told, *conditions), flag)


def unstrike(anchor: str, now: int, strike_id: str, by: str = "") -> Call[bool]:
    """Lift a strike: its jobs run. False when there is none with that id."""
    return Call("unstrike", anchor, (now, strike_id, by), flag)


def strikes(anchor: str, now: int = 0) -> Call[list[Strike]]:
    """The strikes that stand."""
    return Call("strikes", anchor, (now,), _strikes, readonly=True)


def _strikes(reply: Any) -> list[Strike]:
    return [_strike(row) for row in parts(reply, 0)]


def _strike(row: Any) -> Strike:
    strike_id, waiting, *told = parts(row, 2)
    fields = pairs(told)
    where = {name.removeprefix(_WHERE): value for name, value in fields.items() if name.startswith(_WHERE)}
    until = fields.get("until")
    return Strike(
        text(strike_id),
        fields.get("task", ""),
        where,
        None if until is None else integer(until),
        fields.get("note", ""),
        fields.get("by", ""),
        integer(fields.get("at", 0)),
        integer(waiting),
    )
