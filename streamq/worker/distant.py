"""The desk of a job that runs in a process of its own: what it asks goes to the worker process, which has the connection.

An async handler waits for its answers on the loop. A plain one stands on the loop itself, in the main thread, so it
reads and writes the socket directly; nobody else does meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from streamq.errors import ProtocolError, StreamqError, from_reply
from streamq.protocol.journal import Ask, read_answer
from streamq.worker.frames import frame_of, read_frame

if TYPE_CHECKING:
    from streamq.wire import Payloads
    from streamq.worker.desk import SeatDesk

__all__ = ["DistantDesk", "Place", "Reply", "reply_to"]

Asked = tuple[str, list[Any]]  # an Ask as it is sent


class Reply(msgspec.Struct):
    """What the worker process answers: the server's reply, or its refusal."""

    reply: Any = None
    refusal: str | None = None


class Place(msgspec.Struct, frozen=True):
    """Whose desk it is: what its values are sealed for."""

    queue: str
    task: str
    job: str


async def reply_to(asked: Asked, desk: SeatDesk) -> Reply:
    """In the worker process: ask the server. Whose delivery it is no more, is ended here."""
    function, args = asked
    try:
        return Reply(await desk.carry_raw(Ask(function, args)))
    except StreamqError as error:
        return Reply(refusal=f"{error.code or ProtocolError.code} {error}")


class DistantDesk:
    """In the job's process. ``message`` makes of an ask what is sent; ``suspended`` is told what the job waits for."""

    def __init__(
        self,
        place: Place,
        payloads: Payloads,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        message: Callable[[Asked], Any],
        suspended: Callable[[str], None],
    ) -> None:
        self._place, self._payloads, self._message = place, payloads, message
        self._reader, self._writer = streams
        self._suspended = suspended
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._reading: asyncio.Task[None] | None = None

    def pack(self, field: str, value: object) -> bytes:
        """The body of a value. Raises WrongCall and PayloadTooLarge."""
        where = self._place
        return self._payloads.pack_noted(where.queue, where.task, field, value, where.job)

    def unpack(self, field: str, body: bytes, kind: Any) -> Any:
        """The value, as ``kind`` says. Raises BadPayload and KeyMissing."""
        where = self._place
        return self._payloads.unpack_noted(where.queue, where.task, field, body, kind, where.job)

    async def carry(self, ask: Ask) -> Any:
        """The answer. A process whose delivery is somebody else's is killed while it waits here."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._writer.write(self._framed(ask))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        return _read(ask, await future)

    def carry_blocking(self, ask: Ask) -> Any:
        """The same from a plain handler."""
        descriptor = self._writer.get_extra_info("socket").fileno()
        rest = memoryview(self._framed(ask))
        while rest:
            select.select([], [descriptor], [])
            rest = rest[os.write(descriptor, rest) :]
        size = int.from_bytes(_read_exactly(descriptor, 4), "big")
        return _read(ask, msgspec.msgpack.decode(_read_exactly(descriptor, size), type=Reply))

    def suspend(self, what: str) -> None:
        """From now on the job waits for ``what``, whatever its handler still does."""
        self._suspended(what)

    def _framed(self, ask: Ask) -> bytes:
        return frame_of(self._message((ask.function, list(ask.args))))

    async def _read(self) -> None:
        while True:
            reply = await read_frame(self._reader, Reply)
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(reply)


def _read(ask: Ask, reply: Reply) -> Any:
    if reply.refusal is not None:
        raise from_reply(reply.refusal) or StreamqError(reply.refusal)
    return read_answer(ask, reply.reply)


def _read_exactly(descriptor: int, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        select.select([descriptor], [], [])
        part = os.read(descriptor, size)
        if not part:
            raise ConnectionResetError("the worker process has gone")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
