"""What running handlers say of themselves (``ctx.progress``, ``ctx.partial``): the latest word of each, some times a second.

Handlers tell from the loop or from threads; the loop sends. When the server refuses it, the job was asked to stop or is
not this worker's any more, and the next take will say which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from streamq.protocol import Call
from streamq.protocol.consume import progress
from streamq.worker.consumer import Consumer
from streamq.worker.seat import Seat

__all__ = ["Telling"]

EVERY = 0.2  # seconds

Said = dict[str, Any]
Delivery = tuple[Consumer, str, str, str]  # level, entry, job


class Telling:
    """The words of one queue's handlers. ``send`` carries a call; ``refused`` is called when one was."""

    def __init__(
        self,
        anchor: str,
        send: Callable[[Call[bool]], asyncio.Future[Any]],
        refused: Callable[[], None],
    ) -> None:
        self._anchor = anchor
        self._send, self._refused = send, refused
        self._loop = asyncio.get_running_loop()
        self._said: dict[Delivery, Said] = {}
        self._is_due = False

    def tell(self, seat: Seat, said: Said) -> None:
        """From a handler, on the loop or in a thread."""
        if seat.plan is None:
            return
        level, entry = seat.lot.level.decode(), seat.row[0].decode()
        key = (seat.lot.consumer, level, entry, seat.local_id)
        self._said[key] = {**self._said.get(key, {}), **said}
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon_threadsafe(self._loop.call_later, EVERY, self._flush)

    def _flush(self) -> None:
        self._is_due, said = False, self._said
        self._said = {}
        for (consumer, level, entry, job), words in list(said.items()):
            pairs = [part for pair in words.items() for part in pair]
            call = progress(self._anchor, 0, consumer.id, consumer.generation, (level, entry), job, pairs)
            self._send(call).add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[Any]) -> None:
        if answer.cancelled():
            return
        if answer.exception() is not None or not answer.result():
            self._refused()
