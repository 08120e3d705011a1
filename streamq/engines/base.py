"""What every engine offers. An engine carries calls to one place and knows how to get there; it knows no queue.

``run`` turns refusals into errors, loads the function library when it is missing, waits while the server is loading,
and repeats what is ``repeatable`` when a connection broke. Engines are opened by ``factory`` and connect when they
are first used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

from streamq.config import Config, Durability
from streamq.errors import StreamqError
from streamq.library import Dialect
from streamq.protocol import Argument, Call

__all__ = ["AsyncEngine", "Engine", "Kept", "Link", "OnLost", "OnMessage"]

R = TypeVar("R")
OnMessage = Callable[[bytes, bytes], None]  # channel, message
OnLost = Callable[[Exception], None]


class Kept(NamedTuple):
    """How safe a write is: the level that was really reached, which may be below the one that was asked for."""

    value: Any
    reached: Durability


class Engine(Protocol):
    """For threads: any thread may call, several at a time. After a fork the child opens connections of its own."""

    config: Config

    def run(self, call: Call[R]) -> R:
        """Carry one call and read its answer."""
        ...

    def run_each(self, calls: Iterable[Call[R]]) -> Iterator[R | StreamqError]:
        """Carry repeatable calls to one shard, in order, one ahead: the next is sent before the last is answered.

        An error stands in the place of the answer that it prevents.
        """
        ...

    def run_durably(self, call: Call[Any], level: Durability) -> Kept:
        """Carry one call, then wait until its writes are as safe as ``level`` says, for half of ``reply_timeout`` at most."""
        ...

    def command(self, *args: Argument) -> Any:
        """Carry one plain command, ``("INFO", "server")`` for example; the reply as it comes, never repeated."""
        ...

    def receive(self, key: str, timeout: float) -> bytes | None:
        """Wait for an element of a list (BLPOP) for ``timeout`` seconds, on a connection of its own."""
        ...

    def install(self, *, anyway: bool = False) -> Dialect:
        """Put the function library on the server unless it is there; ``anyway`` replaces other content of it."""
        ...

    def close(self) -> None:
        """Close all connections; who waits in ``receive`` gets ConnectionLost. It opens anew when it is used again."""
        ...


class AsyncEngine(Protocol):
    """For one event loop."""

    config: Config

    async def run(self, call: Call[R]) -> R:
        """Carry one call and read its answer."""
        ...

    async def run_durably(self, call: Call[Any], level: Durability) -> Kept:
        """Carry one call, then wait until its writes are as safe as ``level`` says, for half of ``reply_timeout`` at most."""
        ...

    async def command(self, *args: Argument) -> Any:
        """Carry one plain command; the reply as it comes, never repeated."""
        ...

    async def receive(self, key: str, timeout: float) -> bytes | None:  # noqa: ASYNC109 - the server waits
        """Wait for an element of a list (BLPOP) for ``timeout`` seconds, on a connection of its own."""
        ...

    async def link(self, anchor: str, on_message: OnMessage, on_lost: OnLost) -> Link:
        """Open a dedicated connection to the server of a shard; the library is there when it is returned."""
        ...

    async def close(self) -> None:
        """Close all connections that are not links. It opens anew when it is used again."""
        ...


class Link(Protocol):
    """One dedicated connection of an event loop. Calls are answered in their order; messages come in between.

    When it is lost, every call that is under way fails with ConnectionLost, then ``on_lost`` is called, once. A link
    repeats nothing but calls that the server did not know before the library was loaded.
    """

    def call(self, call: Call[Any]) -> asyncio.Future[Any]:
        """Send a call. The future gives the raw reply, which the caller reads with ``call.read``, or a typed error."""
        ...

    def command(self, *args: Argument) -> asyncio.Future[Any]:
        """Send a plain command."""
        ...

    def subscribe(self, channel: str) -> asyncio.Future[Any]:
        """Receive the messages of a shard channel from now on; the future ends when the server has agreed."""
        ...

    def close(self) -> None:
        """End the connection; ``on_lost`` is not called for it."""
        ...
