"""The engine for one event loop: all calls share one link, so many can be under way at once on one connection.

What blocks a connection, waiting for an element or for a replica, has a link of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from streamq.config import Config, Durability
from streamq.engines import durably
from streamq.engines.base import Kept, Link, OnLost, OnMessage
from streamq.engines.link import RedisLink, open_link
from streamq.engines.patience import Patience
from streamq.engines.place import Place
from streamq.errors import ServerUnavailable, StreamqError
from streamq.library import Command, Dialect
from streamq.protocol import Argument, Call

__all__ = ["AsyncRedisEngine"]

R = TypeVar("R")


class AsyncRedisEngine:
    """An ``AsyncEngine`` for one server."""

    def __init__(self, config: Config, place: Place) -> None:
        self.config, self._place = config, place
        self._shared: RedisLink | None = None
        self._private: set[RedisLink] = set()
        self._opening = asyncio.Lock()
        self._dialect: Dialect | None = None
        self._aof: bool | None = None

    async def run(self, call: Call[R]) -> R:
        """Carry one call and read its answer."""

        async def attempt() -> Any:
            link = self._shared
            if link is None or not link.is_open:
                link = await self._share()
            return await link.call(call)

        return call.read(await self._patiently(attempt, call.repeatable))

    async def run_durably(self, call: Call[Any], level: Durability) -> Kept:
        """Carry one call, then wait until its writes are as safe as ``level`` says, for half of ``reply_timeout`` at most."""
        proof = durably.proof(level, self.config.reply_timeout / 2)
        if proof is None:
            value, answer = await self.run(call), None
        else:
            value, answer = await self._proven(call, proof)
        return Kept(value, durably.reached(level, answer, await self._has_aof()))

    async def command(self, *args: Argument) -> Any:
        """Carry one plain command; the reply as it comes, never repeated."""
        return await (await self._share()).command(*args)

    async def receive(self, key: str, timeout: float) -> bytes | None:  # noqa: ASYNC109 - the server waits
        """Wait for an element of a list (BLPOP) for ``timeout`` seconds, on a connection of its own."""
        async with self._own_link(timeout) as link:
            popped = await link.command("BLPOP", key, timeout)
            return popped[1] if popped else None

    async def link(self, anchor: str, on_message: OnMessage, on_lost: OnLost) -> Link:
        """Open a dedicated connection to the server of a shard; the library is there when it is returned."""
        return await self._open(on_message, on_lost)

    async def close(self) -> None:
        """Close all connections that are not links. It opens anew when it is used again."""
        shared, self._shared = self._shared, None
        for link in (*self._private, *([shared] if shared else [])):
            link.close()
        await asyncio.sleep(0)  # the transports end in the next turn of the loop

    async def _patiently(self, attempt: Callable[[], Awaitable[R]], repeatable: bool) -> R:
        patience: Patience | None = None
        while True:
            try:
                return await attempt()
            except ServerUnavailable as error:
                connected = self._dialect is not None
                patience = patience or Patience(self.config.reconnect_for, connected, self._place.moves)
                pause = patience.pause(error, repeatable)
            await asyncio.sleep(pause)

    async def _share(self) -> RedisLink:
        async with self._opening:
            if self._shared is None or not self._shared.is_open:
                self._shared = await self._open(_ignore, _ignore)
            return self._shared

    async def _open(self, on_message: OnMessage, on_lost: OnLost, patience: float = 0.0) -> RedisLink:
        address = await asyncio.to_thread(self._place.locate) if self._place.moves else self._place.locate()
        link = await open_link(address, self.config, on_message, on_lost, patience)
        try:
            await self._teach(link)
        except BaseException:
            link.close()
            raise
        return link

    async def _teach(self, link: RedisLink) -> None:
        """Tell a new link how functions are called here; the first one finds out, and loads the library."""
        if self._dialect is None:
            self._dialect = await link.install()
        link.dialect = self._dialect

    @asynccontextmanager
    async def _own_link(self, patience: float) -> AsyncIterator[RedisLink]:
        link = await self._open(_ignore, _ignore, patience)
        self._private.add(link)
        try:
            yield link
        finally:
            self._private.discard(link)
            link.close()

    async def _proven(self, call: Call[R], proof: Command) -> tuple[R, Any]:
        """Write and wait on one connection. A repeated call may have nothing to write, so it proves nothing."""
        try:
            async with self._own_link(0.0) as link:
                reply = await link.call(call)
                with suppress(StreamqError):  # a server without the command, or lost behind the answer
                    return call.read(reply), await link.command(*proof)
                return call.read(reply), None
        except ServerUnavailable:
            if not call.repeatable:
                raise
            return await self.run(call), None

    async def _has_aof(self) -> bool:
        if self._aof is None:
            self._aof = durably.has_aof(await self.command(*durably.ASK_AOF))
        return self._aof


def _ignore(*_: object) -> None:
    """The shared link is opened again by who needs it next."""
