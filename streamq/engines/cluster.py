"""The engines for a cluster: every call has one anchor, so one slot, so one engine of one server.

While a slot is being moved its functions answer ASK: the anchor is no key, so a call cannot be split between two
servers. Engines wait until the move is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar

from streamq.config import Config, Durability
from streamq.engines.async_redis import AsyncRedisEngine
from streamq.engines.base import Kept, Link, OnLost, OnMessage
from streamq.engines.moving import ANY_SLOT, SlotOwner, masters, slot_of
from streamq.engines.redis import RedisEngine
from streamq.errors import StreamqError
from streamq.library import Dialect
from streamq.protocol import Argument, Call

__all__ = ["AsyncClusterEngine", "ClusterEngine"]

R = TypeVar("R")


class ClusterEngine:
    """An ``Engine`` for ``cluster://``."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._engines: dict[int, RedisEngine] = {}

    def run(self, call: Call[R]) -> R:
        """Carry one call to its shard."""
        return self._of(call.anchor).run(call)

    def run_each(self, calls: Iterable[Call[R]]) -> Iterator[R | StreamqError]:
        """Carry repeatable calls to one shard, in order, one ahead."""
        rest = iter(calls)
        for first in rest:
            yield from self._of(first.anchor).run_each(chain((first,), rest))

    def run_durably(self, call: Call[Any], level: Durability) -> Kept:
        """Carry one call to its shard, then wait until its writes are as safe as ``level`` says."""
        return self._of(call.anchor).run_durably(call, level)

    def command(self, *args: Argument) -> Any:
        """Carry one plain command to the server of its key, or to any when it has none."""
        return self._of(_key(args)).command(*args)

    def receive(self, key: str, timeout: float) -> bytes | None:
        """Wait for an element of a list."""
        return self._of(key).receive(key, timeout)

    def install(self, *, anyway: bool = False) -> Dialect:
        """Put the function library on every master."""
        found = [RedisEngine(self.config, place) for place in masters(self.config)]
        dialects = [engine.install(anyway=anyway) for engine in found]
        for engine in found:
            engine.close()
        return dialects[0]

    def close(self) -> None:
        """Close all connections."""
        for engine in tuple(self._engines.values()):
            engine.close()

    def _of(self, key: str) -> RedisEngine:
        slot = slot_of(key) if key else ANY_SLOT
        found = self._engines.get(slot)
        return found or self._engines.setdefault(slot, RedisEngine(self.config, SlotOwner(self.config, slot)))


class AsyncClusterEngine:
    """An ``AsyncEngine`` for ``cluster://``."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._engines: dict[int, AsyncRedisEngine] = {}

    async def run(self, call: Call[R]) -> R:
        """Carry one call to its shard."""
        return await self._of(call.anchor).run(call)

    async def run_durably(self, call: Call[Any], level: Durability) -> Kept:
        """Carry one call to its shard, then wait until its writes are as safe as ``level`` says."""
        return await self._of(call.anchor).run_durably(call, level)

    async def command(self, *args: Argument) -> Any:
        """Carry one plain command to the server of its key, or to any when it has none."""
        return await self._of(_key(args)).command(*args)

    async def receive(self, key: str, timeout: float) -> bytes | None:  # noqa: ASYNC109 - the server waits
        """Wait for an element of a list."""
        return await self._of(key).receive(key, timeout)

    async def link(self, anchor: str, on_message: OnMessage, on_lost: OnLost) -> Link:
        """Open a dedicated connection to the server of a shard."""
        return await self._of(anchor).link(anchor, on_message, on_lost)

    async def close(self) -> None:
        """Close all connections that are not links."""
        for engine in tuple(self._engines.values()):
            await engine.close()

    def _of(self, key: str) -> AsyncRedisEngine:
        slot = slot_of(key) if key else ANY_SLOT
        if slot not in self._engines:
            self._engines[slot] = AsyncRedisEngine(self.config, SlotOwner(self.config, slot))
        return self._engines[slot]


def _key(command: tuple[Argument, ...]) -> str:
    """The first argument that has a hash tag, which is what our keys have."""
    return next((word for word in command[1:] if isinstance(word, str) and "{" in word), "")
