"""What jobs have spent, beside what they were estimated to (``ctx.spent``): the differences, summed up a few times a second.

A sum whose call is lost with its connection is lost too: a bucket is a little off then, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from streamq.protocol import Call
from streamq.protocol.limits import spent

__all__ = ["Spending"]

EVERY = 0.05  # seconds


class Spending:
    """Of one queue's jobs. ``send`` carries a call."""

    def __init__(self, anchor: str, send: Callable[[Call[Any]], asyncio.Future[Any]]) -> None:
        self._anchor, self._send = anchor, send
        self._loop = asyncio.get_running_loop()
        self._sums: dict[str, float] = {}
        self._is_due = False

    def add(self, differences: Mapping[str, float]) -> None:
        """From a handler, on the loop or in a thread."""
        self._loop.call_soon_threadsafe(self._add, differences)

    def flush(self) -> list[asyncio.Future[Any]]:
        """Send what there is; the answers to come."""
        self._is_due, sums = False, self._sums
        self._sums = {}
        calls = [spent(self._anchor, 0, key, f"{total:.3f}") for key, total in sums.items() if total]
        answers = [self._send(call) for call in calls]
        for answer in answers:
            answer.add_done_callback(_heard)
        return answers

    def _add(self, differences: Mapping[str, float]) -> None:
        for key, difference in differences.items():
            self._sums[key] = self._sums.get(key, 0.0) + difference
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(EVERY, self.flush)


def _heard(answer: asyncio.Future[Any]) -> None:
    """Its error is known: see above."""
    if not answer.cancelled():
        answer.exception()
