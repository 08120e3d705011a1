"""The soft timeout of async handlers: a TimeoutError raised inside the handler, where it waits, before the hard one.

A Task can only be cancelled from outside. So the handler's coroutine is driven through a generator that turns the one
cancellation that means the soft timeout into that error. The coroutine stays in its Task: identity, ``asyncio.timeout``
and task groups are right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from streamq.worker.seat import Seat

__all__ = ["Softly"]


class Softly:
    """An awaitable around a handler's coroutine; the seat says when the soft timeout is over (``warned``)."""

    __slots__ = ("_coroutine", "_seat")

    def __init__(self, seat: Seat, coroutine: Coroutine[Any, Any, Any]) -> None:
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
                    value, told = _warning(), True
            except BaseException as error:
                value, step = error, self._coroutine.throw


def _warning() -> TimeoutError:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    return TimeoutError("the soft timeout is over; the hard one will end the handler")
