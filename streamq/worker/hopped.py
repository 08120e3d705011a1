"""Exceptions that are sent into threads, and handlers that a thread runs while the event loop waits for them."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from typing import Any

from streamq.context import current_job
from streamq.worker.plan import Call
from streamq.worker.seat import Seat

__all__ = ["Hopped", "TimeLimit", "raise_in"]


class TimeLimit(BaseException):
    """Raised inside a sync handler that ran too long. Not an Exception, so that a handler does not catch it by accident."""


def raise_in(thread: int, error: type[BaseException]) -> None:
    """Raise ``error`` in a thread, as soon as that runs Python code again."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error))


class Hopped:
    """A handler that the loop waits for. ``thread``: where it runs, while it does."""

    __slots__ = ("args", "call", "future", "kwargs", "seat", "thread")

    def __init__(self, seat: Seat, call: Call, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.seat, self.call, self.args, self.kwargs = seat, call, args, kwargs
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.thread: int | None = None

    def run(self) -> None:
        """In the thread."""
        self.thread = threading.get_ident()
        current_job.set(self.seat)
        try:
            result, error = self.call(self.seat, self.args, self.kwargs), None
        except BaseException as failure:
            result, error = None, failure
        self.thread = None
        self.future.get_loop().call_soon_threadsafe(self._resolve, result, error)

    def _resolve(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
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
