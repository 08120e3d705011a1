"""Exceptions that are sent into threads, and handlers that a thread runs while the event loop waits for them."""

from __future__ import annotations

import asyncio
import ctypes
from typing import Any, Protocol

from streamq.context import current_job
from streamq.errors import SoftTimeout
from streamq.outcomes import Snooze
from streamq.protocol.consume import Row
from streamq.worker.plan import Call
from streamq.worker.seat import Seat

__all__ = ["STRAY", "Hopped", "TimeLimit", "raise_in", "soft_timeout"]

STRAY = "interrupted by the timeout of another job in its thread"


class TimeLimit(BaseException):
    """Raised inside a sync handler that ran too long. Not an Exception, so that a handler does not catch it by accident."""


def raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise ``error`` in a thread, as soon as that runs Python code again."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


def soft_timeout(text: str) -> type[SoftTimeout]:
    """A SoftTimeout with its text: a thread can only be sent a class, of which it makes the exception itself."""

    class Said(SoftTimeout):
        def __init__(self) -> None:
            super().__init__(text)

    Said.__name__ = Said.__qualname__ = SoftTimeout.__name__
    return Said


class Carrier(Protocol):
    """A thread that runs handlers. ``aimed_at``: the job that an exception was sent to."""

    ident: int
    aimed_at: Row | None


class Hopped:
    """A handler that the loop waits for. ``carrier``: the thread where it runs, while it does."""

    __slots__ = ("args", "call", "carrier", "future", "kwargs", "row", "seat")

    def __init__(self, seat: Seat, call: Call, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.seat, self.row, self.call, self.args, self.kwargs = seat, seat.row, call, args, kwargs
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.carrier: Carrier | None = None

    def run(self, carrier: Carrier) -> None:
        """In the thread."""
        self.carrier = carrier
        current_job.set(self.seat.current)
        try:
            result, error = self.call(self.seat, self.args, self.kwargs), None
        except BaseException as failure:
            result, error = None, self._own(failure, carrier)
        self.carrier = None
        self.future.get_loop().call_soon_threadsafe(self._resolve, result, error)

    def aim(self, error: type[BaseException]) -> None:
        """Raise it in the handler, if that runs."""
        carrier = self.carrier
        if carrier is not None:
            carrier.aimed_at = self.row
            raise_in(carrier.ident, error)

    def _own(self, error: BaseException, carrier: Carrier) -> BaseException:
        if isinstance(error, TimeLimit) and carrier.aimed_at is not self.row:
            return Snooze(0, reason=STRAY)
        return error

    def _resolve(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(_carriable(error))


def _carriable(error: BaseException) -> BaseException:
    """A future does not take a StopIteration."""
    if not isinstance(error, StopIteration):
        return error
    carried = RuntimeError("the handler raised StopIteration")
    carried.__cause__ = error
    return carried
