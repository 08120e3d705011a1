"""Concurrent enqueues to one shard share calls: while one is in flight, what comes meanwhile goes together in the next.

There is no lingering: a lone enqueue is sent at once, on its caller's thread or task. Two collectors do the same thing,
one for threads and one for an event loop. A job is never hurt by its neighbours: when the server refuses a shared call,
each of its jobs is sent alone, and a caller that is cancelled or interrupted takes nobody else along.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock, RLock, get_ident
from types import FrameType
from typing import Protocol, TypeVar
from weakref import ref

from streamq.errors import ConnectionLost, LimitExceeded, QueueFull, Reentered, UniqueConflict
from streamq.producer import MAX_BATCH_BYTES
from streamq.protocol.enqueue import MAX_BATCH, Enqueued, NewJob

__all__ = ["AsyncCollector", "Collector"]

_CALLS = 2  # under way at once, on an event loop
_WORTH_A_CALL = 16  # jobs: fewer are not parted into two calls
_REFUSALS = (
    UniqueConflict,
    LimitExceeded,
    QueueFull,
)  # one job's fault, and then nothing of the call was added


class _Waiting(Protocol):
    @property
    def job(self) -> NewJob: ...


W = TypeVar("W", bound=_Waiting)


def _move_next_batch(waiting: deque[W], batch: list[W], most: int = MAX_BATCH) -> None:
    """Move from the front what fits into one call, and not more than ``most``. Nothing is ever in neither of them."""
    room = MAX_BATCH_BYTES
    while waiting and len(batch) < min(most, MAX_BATCH) and (not batch or len(waiting[0].job.body) <= room):
        batch.append(waiting[0])
        waiting.popleft()
        room -= len(batch[-1].job.body)


@dataclass(slots=True, eq=False)
class _Ticket:
    """A thread that waits: for its id, or to be the one that sends the next call."""

    job: NewJob
    thread: int
    signal: Lock = field(default_factory=Lock)
    leads: bool = False
    id: str = ""
    error: BaseException | None = None


class Collector:
    """For threads. One of those that wait leads: it sends for all, then appoints the next leader."""

    def __init__(self, send: Callable[[Sequence[NewJob]], Enqueued]) -> None:
        self._send = send
        self._lock = RLock()  # a signal handler may enqueue while its thread holds it
        self._waiting: deque[_Ticket] = deque()
        self._leader = 0  # the thread that sends now, or none

    def enqueue(self, job: NewJob) -> str:
        """Add one job; its id, local to the shard.

        Raises Reentered inside a signal handler or finalizer that interrupted an enqueue of its own thread. An exception
        may come between any two steps, from there or from another thread: none leaves the others without a leader.
        """
        thread, ticket, leads = get_ident(), None, False
        try:
            with self._lock:
                if self._leader == 0 or self._has_left(thread):
                    self._leader = thread
                    leads = True
                else:
                    ticket = _Ticket(job, thread)
                    ticket.signal.acquire()
                    self._waiting.append(ticket)
            if ticket is None:
                return self._send((job,)).ids[0]
            ticket.signal.acquire()
            if ticket.leads:
                self._lead(ticket)
        except BaseException:
            if ticket is not None:
                self._leave(ticket)
            raise
        finally:
            if leads:
                self._appoint()
        if ticket.error is not None:
            raise ticket.error
        return ticket.id

    def _has_left(self, thread: int) -> bool:
        """Whether this thread leads only in name, because it was interrupted where it should have appointed another."""
        if self._leader != thread:
            return False
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - it is enqueue's
        while frame and (frame := frame.f_back):
            if frame.f_code is Collector.enqueue.__code__ and frame.f_locals["self"] is self:
                raise Reentered
        return True

    def _lead(self, own: _Ticket) -> None:
        """Send for all, then appoint the next leader."""
        batch: list[_Ticket] = []
        try:
            own.leads = False
            with self._lock:
                _move_next_batch(self._waiting, batch)
            self._settle(batch)
        except BaseException:
            lost = ConnectionLost(
                "the thread that sent this job together with its own was interrupted; it may be queued"
            )
            with self._lock:
                for ticket in batch:
                    ticket.error = ticket.error or (None if ticket.id else lost)
                    if ticket in self._waiting:
                        self._waiting.remove(ticket)
            raise
        finally:
            self._appoint()
            for ticket in batch:
                ticket.signal.release()

    def _settle(self, batch: list[_Ticket]) -> None:
        try:
            ids = self._send([ticket.job for ticket in batch]).ids
        except Exception as error:
            if isinstance(error, _REFUSALS) and len(batch) > 1:
                for ticket in batch:
                    self._settle([ticket])
                return
            for ticket in batch:
                ticket.error = error
            return
        for ticket, local in zip(batch, ids, strict=True):
            ticket.id = local

    def _appoint(self) -> None:
        with self._lock:
            if not self._waiting:
                self._leader = 0
                return
            leader = self._waiting[0]
            self._leader, leader.leads = leader.thread, True
            leader.signal.release()

    def _leave(self, ticket: _Ticket) -> None:
        """The thread was interrupted while it waited."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            leads = ticket.leads
        if leads:
            self._appoint()


@dataclass(slots=True, eq=False)
class _Awaiting:
    job: NewJob
    id: asyncio.Future[str]


class AsyncCollector:
    """For one event loop. What was collected is sent by tasks of its own, so that cancelling a caller stops no other.

    Two calls may be under way: while the server runs one, those who waited for the other come with their next jobs.
    """

    def __init__(self, send: Callable[[Sequence[NewJob]], Awaitable[Enqueued]]) -> None:
        self._send = send
        self._loop, self._thread = ref(asyncio.get_running_loop()), get_ident()
        self._waiting: deque[_Awaiting] = deque()
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_planned = False

    @property
    def is_here(self) -> bool:
        """Whether its loop is the one that runs now. Without a system call, which ``get_running_loop`` makes (Python 3.11)."""
        loop = self._loop()
        return loop is not None and self._thread == get_ident() and loop.is_running()

    def enqueue(self, job: NewJob) -> Awaitable[str]:
        """Add one job; its id, local to the shard. Await it at once. No coroutine of its own while it waits: 1 µs less."""
        if not self._under_way and not self._is_planned:
            return self._enqueue_alone(job)
        awaiting = _Awaiting(job, asyncio.Future(loop=self._loop()))
        self._waiting.append(awaiting)
        if not self._is_planned and self._under_way < _CALLS:
            self._plan()
        return awaiting.id

    async def _enqueue_alone(self, job: NewJob) -> str:
        self._under_way += 1
        try:
            return (await self._send((job,))).ids[0]
        finally:
            self._under_way -= 1
            if self._waiting and not self._is_planned:
                self._plan()

    def _plan(self) -> None:
        """Send what waits when all that can run now has run: those who were just answered may have more."""
        self._is_planned = True
        asyncio.get_running_loop().call_soon(self._send_collected)

    def _send_collected(self) -> None:
        self._is_planned = False
        while self._waiting and self._under_way < _CALLS:
            most = MAX_BATCH if self._under_way else max(_WORTH_A_CALL, len(self._waiting) // 2)
            batch: list[_Awaiting] = []
            _move_next_batch(self._waiting, batch, most)
            self._under_way += 1
            task = asyncio.create_task(self._carry([one for one in batch if not one.id.done()]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, batch: list[_Awaiting]) -> None:
        try:
            if batch:
                await self._settle(batch)
        finally:
            self._under_way -= 1
            if not self._is_planned:
                self._plan()

    async def _settle(self, batch: list[_Awaiting]) -> None:
        try:
            ids = (await self._send([one.job for one in batch])).ids
        except Exception as error:
            if isinstance(error, _REFUSALS) and len(batch) > 1:
                for one in batch:
                    await self._settle([one])
                return
            for one in batch:
                _resolve(one.id, error)
            return
        for one, local in zip(batch, ids, strict=True):
            _resolve(one.id, local)


def _resolve(future: asyncio.Future[str], outcome: str | Exception) -> None:
    if future.done():  # its caller was cancelled meanwhile
        return
    if isinstance(outcome, str):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
