"""What one process holds of an App's connections. Everything is opened when it is first used.

A process that forked makes a new client, so nothing is shared with its parent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

from streamq.config import Config
from streamq.engines.base import AsyncEngine, Engine
from streamq.engines.factory import open_async_engine, open_engine
from streamq.limited import Announced, LimitedSender
from streamq.limits.declarations import Declarations
from streamq.protocol.keys import anchor_of
from streamq.replies import Replies
from streamq.sender import Sender
from streamq.sending import Way

__all__ = ["Client"]


class _OfLoop(NamedTuple):
    """The engine of an event loop, and what closes it."""

    engine: AsyncEngine
    ending: AsyncGenerator[None, None]


class Client:
    """The sync engine, an async one for each event loop, and what sends and waits through them, by shard."""

    def __init__(self, config: Config, declarations: Declarations) -> None:
        self._config, self._declarations = config, declarations
        self.announced = Announced(self, config.namespace, declarations)
        self._lock = Lock()
        self._engine: Engine | None = None
        self._of_loop: dict[asyncio.AbstractEventLoop, _OfLoop] = {}
        self._senders: dict[Way, Sender] = {}
        self._replies: dict[str, Replies] = {}

    @property
    def engine(self) -> Engine:
        """The sync engine, for any thread."""
        return self._engine or self._open()

    @property
    def async_engine(self) -> AsyncEngine:
        """The engine of the running event loop."""
        loop = asyncio.get_running_loop()
        known = self._of_loop.get(loop)
        return known.engine if known else self._open_in(loop)

    def sender(self, way: Way) -> Sender:
        """What puts jobs into a queue."""
        return self._senders.get(way) or self._new_sender(way)

    def forget_senders(self, queue: str) -> None:
        """The limits of a queue have changed: what puts jobs in from now on tells the server of them before."""
        for way in [way for way in self._senders if way.queue == queue]:
            self._senders.pop(way, None)

    def replies(self, anchor: str) -> Replies:
        """What waits for the ends of a shard's jobs."""
        return self._replies.get(anchor) or self._replies.setdefault(anchor, Replies(self, anchor))

    def close(self) -> None:
        """Close the sync engine; who waits for a result in this process gets an error."""
        if self._engine is None:
            return
        waiting, self._replies = self._replies, {}
        for replies in waiting.values():
            replies.close()
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    async def aclose(self) -> None:
        """Close the engine of the running event loop, and the sync one."""
        known = self._of_loop.pop(asyncio.get_running_loop(), None)
        if known is not None:
            await known.ending.aclose()
        await asyncio.to_thread(self.close)

    def _new_sender(self, way: Way) -> Sender:
        anchor = anchor_of(self._config.namespace, way.queue)
        durability = way.durability or self._config.durability
        if way.wait_for_room is None and not self._declarations.of(way.queue):
            sender = Sender(self, anchor, durability)
        else:
            sender = LimitedSender(self, anchor, durability, self.announced, way)
        return self._senders.setdefault(way, sender)

    def _open_in(self, loop: asyncio.AbstractEventLoop) -> AsyncEngine:
        for over in [other for other in self._of_loop if other.is_closed()]:
            self._of_loop.pop(over, None)
        engine = open_async_engine(self._config)
        ending = self._until_the_end(loop, engine)
        with suppress(StopIteration):
            ending.__anext__().send(None)  # it has begun, so the loop knows it
        self._of_loop[loop] = _OfLoop(engine, ending)
        return engine

    async def _until_the_end(
        self, loop: asyncio.AbstractEventLoop, engine: AsyncEngine
    ) -> AsyncGenerator[None, None]:
        """A loop that is shut down closes its generators first (``asyncio.run`` does): so its connections go with it."""
        try:
            yield
        finally:
            self._of_loop.pop(loop, None)
            await engine.close()

    def _open(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = open_engine(self._config)
            return self._engine
