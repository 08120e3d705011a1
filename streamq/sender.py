"""Putting jobs into one shard on behalf of one process: alone, together with others, or many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

from streamq.collecting import AsyncCollector, Collector
from streamq.config import Durability
from streamq.engines.base import AsyncEngine, Engine, Kept
from streamq.errors import StreamqError
from streamq.logger import Logger
from streamq.producer import Channel, Producer
from streamq.protocol import Call
from streamq.protocol.enqueue import Enqueued, NewJob

__all__ = ["Engines", "Sender"]

_WAITED_FOR = {Durability.REPLICATED, Durability.FSYNCED}


class Engines(Protocol):
    """Where calls go."""

    @property
    def engine(self) -> Engine: ...
    @property
    def async_engine(self) -> AsyncEngine: ...


class Sender:
    """Sends to the shard at ``anchor``, and returns when the jobs are as safe as ``durability`` says.

    Every call is named by a producer's channel, so a repeated one adds nothing. Ids are local to the shard.
    """

    def __init__(self, engines: Engines, anchor: str, durability: Durability) -> None:
        self._engines, self._anchor, self._durability = engines, anchor, durability
        self._waits = durability in _WAITED_FOR
        self._producer = Producer()
        self._collector = Collector(self.send)
        self._of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncCollector] = WeakKeyDictionary()
        self._latest: AsyncCollector | None = None

    def enqueue(self, job: NewJob) -> str:
        """Add one job, together with those of other threads while a call is in flight; its id."""
        return self._collector.enqueue(job)

    def aenqueue(self, job: NewJob) -> Awaitable[str]:
        """Add one job, together with those of other tasks while a call is in flight; its id, to be awaited at once."""
        collector = self._latest
        if collector is None or not collector.is_here:
            collector = self._latest = self._collector_here()
        return collector.enqueue(job)

    def send(self, jobs: Sequence[NewJob]) -> Enqueued:
        """Add at most 1,000 jobs in one call."""
        channel = self._producer.borrow()
        try:
            call, engine = channel.call(self._anchor, jobs), self._engines.engine
            return (
                self._settled(engine.run_durably(call, self._durability)) if self._waits else engine.run(call)
            )
        finally:
            self._producer.give_back(channel)

    def send_each(self, batches: Iterable[Sequence[NewJob]]) -> Iterator[Enqueued | StreamqError]:
        """Add batches of at most 1,000 jobs, a call each, while the last one is under way; an answer or error for each."""
        if self._waits:
            yield from map(self._sent, batches)
            return
        channels = deque((self._producer.borrow(), self._producer.borrow()))
        try:
            yield from self._engines.engine.run_each(self._calls(batches, channels))
        finally:
            for channel in channels:
                self._producer.give_back(channel)

    async def asend_each(self, batches: Iterable[Sequence[NewJob]]) -> AsyncIterator[Enqueued | StreamqError]:
        """Add batches of at most 1,000 jobs, a call each, while the last one is under way; an answer or error for each."""
        under_way: deque[asyncio.Task[Enqueued | StreamqError]] = deque()
        try:
            for batch in batches:
                under_way.append(asyncio.create_task(self._asent(batch)))
                await asyncio.sleep(0)  # it is on its way before the next one is packed
                if len(under_way) > 1:
                    yield await under_way.popleft()
            while under_way:
                yield await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()

    async def asend(self, jobs: Sequence[NewJob]) -> Enqueued:
        """Add at most 1,000 jobs in one call."""
        channel = self._producer.borrow()
        try:
            call, engine = channel.call(self._anchor, jobs), self._engines.async_engine
            if self._waits:
                return self._settled(await engine.run_durably(call, self._durability))
            return await engine.run(call)
        finally:
            self._producer.give_back(channel)

    def _collector_here(self) -> AsyncCollector:
        loop = asyncio.get_running_loop()
        return self._of_loop.get(loop) or self._of_loop.setdefault(loop, AsyncCollector(self.asend))

    def _calls(
        self, batches: Iterable[Sequence[NewJob]], channels: deque[Channel]
    ) -> Iterator[Call[Enqueued]]:
        """A call for each batch, on the channels in turn: the one of the call before the last is free again."""
        for batch in batches:
            yield channels[0].call(self._anchor, batch)
            channels.rotate()

    def _sent(self, batch: Sequence[NewJob]) -> Enqueued | StreamqError:
        try:
            return self.send(batch)
        except StreamqError as error:
            return error

    async def _asent(self, batch: Sequence[NewJob]) -> Enqueued | StreamqError:
        try:
            return await self.asend(batch)
        except StreamqError as error:
            return error

    def _settled(self, kept: Kept) -> Enqueued:
        """The jobs are in, whatever the level; one that is below what was asked for is no error, but it is said."""
        enqueued: Enqueued = kept.value
        if kept.reached is not self._durability:
            Logger("streamq").warning(
                "durability not reached",
                asked=self._durability.value,
                reached=kept.reached.value,
                shard=self._anchor,
                jobs=len(enqueued.ids),
            )
        return enqueued
