"""The soft timeout of async handlers: a SoftTimeout raised inside the handler, where it waits, before the hard one.

A Task can only be cancelled from outside. So the handler's coroutine is driven through a generator that turns the one
cancellation that means the soft timeout into that error. The coroutine stays in its Task: identity, ``asyncio.timeout``
and task groups are right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol

from streamq.errors import SoftTimeout
from streamq.worker.seat import FOREVER
from streamq.worker.verdict import Stop

__all__ = ["Softly", "soft_text"]


class Warned(Protocol):
    """A running job whose soft timeout may be over. Times are in seconds; ``limit`` is the hard timeout."""

    warned: bool
    stop: Stop | None
    started: float
    soft: float
    limit: float


class Softly:
    """An awaitable around a handler's coroutine; the seat says when the soft timeout is over (``warned``)."""

    __slots__ = ("_coroutine", "_seat")

    def __init__(self, seat: Warned, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._seat, self._coroutine = seat, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        told = False
        while True:
            try:
                waits_for = step(value)
            except StopIteration as end:
                return end.value
            try:
                value, step = (yield waits_for), self._coroutine.send
            except GeneratorExit:
                self._coroutine.close()
                raise
            except asyncio.CancelledError as error:
                value, step = error, self._coroutine.throw
                if self._seat.warned and not told and self._seat.stop is None:
                    value, told = self._warning(), True
            except BaseException as error:
                value, step = error, self._coroutine.throw

    def _warning(self) -> SoftTimeout:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        return SoftTimeout(soft_text(self._seat))


def soft_text(seat: Warned) -> str:
    """What the soft timeout of a job says to its handler."""
    soft, limit = seat.soft - seat.started, seat.limit
    left = "" if limit == FOREVER else f"; the handler has {round(max(0.0, limit - soft), 3):g} s to tidy up"
    return f"the soft timeout of {round(soft, 3):g} s is over{left}"
