"""What one process holds of an App's connections. Everything is opened when it is first used.

A process that forked makes a new client, so nothing is shared with its parent.
"""

from __future__ import annotations

import asyncio
from threading import Lock
from weakref import WeakKeyDictionary

from streamq.config import Config, Durability
from streamq.engines.base import AsyncEngine, Engine
from streamq.engines.factory import open_async_engine, open_engine
from streamq.protocol.keys import anchor_of
from streamq.replies import Replies
from streamq.sender import Sender

__all__ = ["Client"]


class Client:
    """The sync engine, an async one for each event loop, and what sends and waits through them, by shard."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = Lock()
        self._engine: Engine | None = None
        self._async_engines: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()
        self._senders: dict[tuple[str, Durability | None], Sender] = {}
        self._replies: dict[str, Replies] = {}

    @property
    def engine(self) -> Engine:
        """The sync engine, for any thread."""
        return self._engine or self._open()

    @property
    def async_engine(self) -> AsyncEngine:
        """The engine of the running event loop."""
        loop = asyncio.get_running_loop()
        engine = self._async_engines.get(loop)
        if engine is None:
            engine = self._async_engines[loop] = open_async_engine(self._config)
        return engine

    def sender(self, queue: str, durability: Durability | None = None) -> Sender:
        """What puts jobs into a queue, as safely as asked for; by default as the settings say."""
        return self._senders.get((queue, durability)) or self._new_sender(queue, durability)

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
        engine = self._async_engines.pop(asyncio.get_running_loop(), None)
        if engine is not None:
            await engine.close()
        await asyncio.to_thread(self.close)

    def _new_sender(self, queue: str, durability: Durability | None) -> Sender:
        anchor = anchor_of(self._config.namespace, queue)
        sender = Sender(self, anchor, durability or self._config.durability)
        return self._senders.setdefault((queue, durability), sender)

    def _open(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = open_engine(self._config)
            return self._engine
