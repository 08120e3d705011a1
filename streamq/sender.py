"""Putting jobs into one shard on behalf of one process: alone, together with others, or many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

from streamq.collecting import AsyncCollector, Collector
from streamq.config import Durability
from streamq.engines.base import AsyncEngine, Engine, Kept
from streamq.producer import Producer
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

    def enqueue(self, job: NewJob) -> str:
        """Add one job, together with those of other threads while a call is in flight; its id."""
        return self._collector.enqueue(job)

    def aenqueue(self, job: NewJob) -> Awaitable[str]:
        """Add one job, together with those of other tasks while a call is in flight; its id, to be awaited at once."""
        loop = asyncio.get_running_loop()
        collector = self._of_loop.get(loop)
        if collector is None:
            collector = self._of_loop[loop] = AsyncCollector(self.asend)
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

    def _settled(self, kept: Kept) -> Enqueued:
        """The jobs are in, whatever the level; one that is below what was asked for is no error, but it is said."""
        enqueued: Enqueued = kept.value
        if kept.reached is not self._durability:
            import structlog

            structlog.get_logger("streamq").warning(
                "durability not reached",
                asked=self._durability.value,
                reached=kept.reached.value,
                shard=self._anchor,
                jobs=len(enqueued.ids),
            )
        return enqueued
