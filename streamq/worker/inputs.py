"""What a job of a flow is given at its start: results of its parents in its arguments; and whether its condition holds."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from streamq.engines.base import Link
from streamq.errors import ServerUnavailable, StreamqError
from streamq.flows.conditions import Condition
from streamq.flows.given import GIVEN, Fill, Given, Parent, Source, at_path, put_at
from streamq.protocol.keys import JobId
from streamq.states import State
from streamq.wire import Payloads, Unpacked
from streamq.worker.seat import Seat

__all__ = ["Inputs", "Unmet", "Unusable"]


class Unmet(Exception):
    """The condition of the job is false."""


class Unusable(StreamqError):
    """A result that the job needs is gone or has another form, or its condition cannot be evaluated."""


class Inputs:
    """Reads what lies in the shard at ``anchor`` for its jobs; ``connected`` gives a living connection."""

    def __init__(self, anchor: str, payloads: Payloads, connected: Callable[[], Awaitable[Link]]) -> None:
        self._anchor, self._payloads, self._connected = anchor, payloads, connected

    async def give(self, seat: Seat, opened: Unpacked) -> None:
        """Fill in the arguments. Raises Unmet, Unusable, and what opening a payload raises."""
        given = Given.read(opened.options[GIVEN])
        results = [await self._result(parent) for parent in given.parents]
        for fill in given.fills:
            _fill_in(fill, given.parents[fill.parent], results[fill.parent], opened)
        if given.when is not None:
            self._check(given, opened, results)

    def _check(self, given: Given, opened: Unpacked, results: list[Any]) -> None:
        when = given.when
        if when is None:
            return
        values = {name: _value(source, opened, results) for name, source in when.names.items()}
        if when.env:
            values["env"] = {name: os.environ[name] for name in when.env if name in os.environ}
        try:
            is_met = Condition(when.text).holds(values)
        except StreamqError as error:
            raise Unusable(str(error)) from error
        if not is_met:
            raise Unmet(f"its condition is false: {when.text}")

    async def _result(self, parent: Parent) -> Any:
        """What the parent returned, None when it ended without a result."""
        key = f"{self._anchor}:output:{parent.job}"
        status, body = await self._read(key)
        if status is None or (body is None and status == State.COMPLETED.value.encode()):
            raise Unusable(f"the result of {parent.job} is gone")
        if body is None:
            return None
        where = JobId.parse(parent.job)
        return self._payloads.unpack_result(where.queue, parent.task, body, job=where.local)

    async def _read(self, key: str) -> list[Any]:
        while True:
            link = await self._connected()
            try:
                found: list[Any] = await link.command("HMGET", key, "status", "result")
            except ServerUnavailable:
                continue
            return found


def _fill_in(fill: Fill, parent: Parent, result: Any, opened: Unpacked) -> None:
    try:
        put_at(opened.args, opened.kwargs, fill.place, at_path(result, fill.path))
    except (LookupError, TypeError) as error:
        raise Unusable(f"the result of {parent.job} has no {'.'.join(map(str, fill.path))}") from error


def _value(source: Source, opened: Unpacked, results: list[Any]) -> Any:
    match source.kind:
        case "a":
            return opened.args[source.what] if isinstance(source.what, int) else opened.kwargs[source.what]
        case "p":
            return results[source.what]
    return source.what
