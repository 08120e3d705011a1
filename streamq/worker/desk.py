"""Where running jobs deal with the server themselves: their steps are noted, and their waits asked for, under the fence.

Each answer is waited for, over lost connections too. When the server says that the delivery is somebody else's, the
handler is ended there and then: a late worker notes nothing, and goes no further.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError as FutureCancelled
from concurrent.futures import wait
from typing import Any

from streamq.engines.base import Link
from streamq.errors import ServerUnavailable, StaleCall, WrongCall
from streamq.protocol.journal import Ask, Delivery, asked, read_answer
from streamq.worker.hopped import TimeLimit
from streamq.worker.seat import Seat

__all__ = ["Counter", "SeatDesk"]

ATTENTION = 0.2  # seconds after which a thread that waits looks for an exception that was sent to it
PATIENCE = 0.05  # seconds until a call is repeated whose connection was replaced

Lost = Callable[[Seat], None]


class Counter:
    """The desks of one queue. ``connected`` gives the connection, ``lost`` is told whose delivery is somebody else's."""

    def __init__(self, anchor: str, connected: Callable[[], Awaitable[Link]], lost: Lost) -> None:
        self._anchor, self._connected, self._lost = anchor, connected, lost
        self._loop = asyncio.get_running_loop()

    def open(self, seat: Seat) -> SeatDesk:
        """The desk of the job that sits there."""
        return SeatDesk(seat, self)

    async def carry(self, desk: SeatDesk, ask: Ask) -> Any:
        """What the server answers, as it comes; None when the delivery is not ours."""
        while True:
            link = await self._connected()
            try:
                reply = await link.call(asked(self._delivery(desk), ask))
            except (ServerUnavailable, StaleCall):
                await asyncio.sleep(PATIENCE)
                continue
            if reply is None and desk.is_seated:
                self._lost(desk.seat)
            return reply

    def carry_blocking(self, desk: SeatDesk, ask: Ask) -> Any:
        """The same from a thread. An exception that is sent to it meanwhile is raised."""
        if _runs_a_loop():
            raise WrongCall(
                "ctx.sync is for plain handlers and would hold the event loop here: await ctx.step and so on"
            )
        answer = asyncio.run_coroutine_threadsafe(self.carry(desk, ask), self._loop)
        try:
            while not answer.done():
                wait([answer], ATTENTION)
            return answer.result()
        except FutureCancelled:
            raise TimeLimit from None
        finally:
            answer.cancel()

    def _delivery(self, desk: SeatDesk) -> Delivery:
        consumer = desk.lot.consumer
        entry, level = desk.row[0].decode(), desk.lot.level.decode()
        return Delivery(self._anchor, consumer.id, consumer.generation, level, entry, desk.job)


class SeatDesk:
    """The desk of one run of a job. Once another job has the seat, it speaks for the old one still."""

    def __init__(self, seat: Seat, counter: Counter) -> None:
        self.seat, self.row, self.lot, self.job = seat, seat.row, seat.lot, seat.local_id
        self._plan, self._counter = seat.known_plan, counter

    @property
    def is_seated(self) -> bool:
        """Whether its job still has the seat."""
        return self.seat.row is self.row and self.seat.plan is not None

    def pack(self, field: str, value: object) -> bytes:
        """The body of a value. Raises WrongCall and PayloadTooLarge."""
        return self._plan.pack_noted(field, value, self.job)

    def unpack(self, field: str, body: bytes, kind: Any) -> Any:
        """The value, as ``kind`` says. Raises BadPayload and KeyMissing."""
        return self._plan.unpack_noted(field, body, kind, self.job)

    async def carry(self, ask: Ask) -> Any:
        """The answer; ends the handler when the delivery is somebody else's."""
        reply = await self.carry_raw(ask)
        if reply is None:
            raise asyncio.CancelledError("the job's delivery was given to another worker")
        return read_answer(ask, reply)

    async def carry_raw(self, ask: Ask) -> Any:
        """What the server answers, as it comes; None when the delivery is somebody else's."""
        return await self._counter.carry(self, ask)

    def carry_blocking(self, ask: Ask) -> Any:
        """The same in a thread of the handler."""
        reply = self._counter.carry_blocking(self, ask)
        if reply is None:
            raise TimeLimit("the job's delivery was given to another worker")
        return read_answer(ask, reply)

    def suspend(self, what: str) -> None:
        """From now on the job waits for ``what``, whatever its handler still does."""
        if self.is_seated:
            self.seat.suspend(what)


def _runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
