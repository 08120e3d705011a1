"""Putting jobs into a queue that has limits: the server hears those of the code first, and room may be waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from streamq.config import Durability
from streamq.errors import QueueFull, StreamqError
from streamq.limits.declarations import Declarations
from streamq.protocol.enqueue import Enqueued, NewJob
from streamq.protocol.keys import anchor_of
from streamq.protocol.limits import declare
from streamq.queue import follow, follow_async
from streamq.sender import Engines, Sender
from streamq.sending import Way

__all__ = ["Announced", "LimitedSender"]

_FIRST_PAUSE = 0.05  # seconds before a full queue is asked again; doubles up to what the server said

clock = time.monotonic


class Announced:
    """Which limits this process has told the server: those of a queue once, and again when the code has said more."""

    def __init__(self, engines: Engines, namespace: str, declarations: Declarations) -> None:
        self._engines, self._namespace, self._declarations = engines, namespace, declarations
        self._told: dict[str, int] = {}

    def ensure(self, queue: str) -> None:
        """Tell of those of a queue, unless that was done."""
        version = self._declarations.version
        if self._told.get(queue) != version:
            if rules := self._declarations.of(queue):
                follow(self._engines.engine, declare(anchor_of(self._namespace, queue), 0, rules))
            self._told[queue] = version

    async def aensure(self, queue: str) -> None:
        """Tell of those of a queue, unless that was done."""
        version = self._declarations.version
        if self._told.get(queue) != version:
            if rules := self._declarations.of(queue):
                calls = declare(anchor_of(self._namespace, queue), 0, rules)
                await follow_async(self._engines.async_engine, calls)
            self._told[queue] = version


class LimitedSender(Sender):
    """A sender that tells of limits before its first call, and waits for room as long as its ``way`` says."""

    def __init__(
        self, engines: Engines, anchor: str, durability: Durability, announced: Announced, way: Way
    ) -> None:
        super().__init__(engines, anchor, durability)
        self._announced, self._queue, self._patience = announced, way.queue, way.wait_for_room

    def enqueue(self, job: NewJob) -> str:
        """Add one job; its id. Raises QueueFull when there was no room in time."""
        wait = _Wait(self._patience)
        while True:
            try:
                return super().enqueue(job)
            except QueueFull as full:
                time.sleep(wait.pause(full))

    async def aenqueue(self, job: NewJob) -> str:
        """Add one job; its id. Raises QueueFull when there was no room in time."""
        wait = _Wait(self._patience)
        while True:
            try:
                return await super().aenqueue(job)
            except QueueFull as full:
                await asyncio.sleep(wait.pause(full))

    def send(self, jobs: Sequence[NewJob]) -> Enqueued:
        """Add at most 1,000 jobs in one call."""
        self._announced.ensure(self._queue)
        return super().send(jobs)

    async def asend(self, jobs: Sequence[NewJob]) -> Enqueued:
        """Add at most 1,000 jobs in one call."""
        await self._announced.aensure(self._queue)
        return await super().asend(jobs)

    def send_each(self, batches: Iterable[Sequence[NewJob]]) -> Iterator[Enqueued | StreamqError]:
        """Add batches, a call each; an answer or error for each. None is sent ahead of one that may be refused."""
        for batch in batches:
            wait = _Wait(self._patience)
            while isinstance(answer := self._sent(batch), QueueFull) and wait.is_on:
                time.sleep(wait.pause(answer))
            yield answer

    async def asend_each(self, batches: Iterable[Sequence[NewJob]]) -> AsyncIterator[Enqueued | StreamqError]:
        """Add batches, a call each; an answer or error for each. None is sent ahead of one that may be refused."""
        for batch in batches:
            wait = _Wait(self._patience)
            while True:
                answer = await self._asent(batch)
                if not isinstance(answer, QueueFull) or not wait.is_on:
                    break
                await asyncio.sleep(wait.pause(answer))
            yield answer


class _Wait:
    """For room, for so many seconds."""

    def __init__(self, patience: float | None) -> None:
        self._until = clock() + (patience or 0.0)
        self._pause = _FIRST_PAUSE

    @property
    def is_on(self) -> bool:
        """Whether it is not over."""
        return clock() < self._until

    def pause(self, full: QueueFull) -> float:
        """Seconds until the next try. Raises ``full`` when it is over."""
        left = self._until - clock()
        if left <= 0:
            raise full
        self._pause, now = min(2 * self._pause, max(full.retry_after, _FIRST_PAUSE)), self._pause
        return min(now, left)
