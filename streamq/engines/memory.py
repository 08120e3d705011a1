"""``memory://``: no server at all, for the tests of those who use streamq. It needs ``pip install 'streamq[memory]'``.

The same Lua functions run inside this process, in fakeredis. All engines of one name (``memory://``, ``memory://two``)
in a process share their data; other processes do not see it, and it ends with the process. A call takes about 0.3 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import hiredis

from streamq.config import Config, Durability
from streamq.engines.address import Address
from streamq.engines.base import Kept, Link, OnLost, OnMessage
from streamq.engines.connection import Connection, pack
from streamq.engines.failures import lost
from streamq.engines.place import Fixed
from streamq.engines.redis import RedisEngine
from streamq.errors import NotSupported, StreamqError
from streamq.library import Command
from streamq.protocol import Argument, Call

if TYPE_CHECKING:
    from fakeredis import FakeServer

__all__ = ["AsyncMemoryEngine", "MemoryEngine"]

R = TypeVar("R")
_SERVERS: dict[str, FakeServer] = {}


class MemoryEngine(RedisEngine):
    """An ``Engine`` without a server."""

    def __init__(self, config: Config) -> None:
        self.name = (config.url or "").removeprefix("memory://")
        super().__init__(config, Fixed(Address()))

    def _connect(self) -> Connection:
        return _MemoryConnection(self.name)

    def _has_aof(self) -> bool:
        return False


class AsyncMemoryEngine:
    """An ``AsyncEngine`` without a server. Calls are executed at once, so there is nothing to wait for."""

    def __init__(self, config: Config) -> None:
        self.config, self._engine = config, MemoryEngine(config)

    async def run(self, call: Call[R]) -> R:
        """Carry one call and read its answer."""
        return self._engine.run(call)

    async def run_durably(self, call: Call[Any], level: Durability) -> Kept:
        """Carry one call; memory is all that is reached."""
        return self._engine.run_durably(call, level)

    async def command(self, *args: Argument) -> Any:
        """Carry one plain command."""
        return self._engine.command(*args)

    async def receive(self, key: str, timeout: float) -> bytes | None:  # noqa: ASYNC109 - the server waits
        """Wait for an element of a list (BLPOP) for ``timeout`` seconds, in a thread."""
        return await asyncio.to_thread(self._engine.receive, key, timeout)

    async def link(self, anchor: str, on_message: OnMessage, on_lost: OnLost) -> Link:
        """A link to the shard; it is never lost."""
        return _MemoryLink(self._engine, on_message)

    async def close(self) -> None:
        """Let go of the data's readers; the data stay."""
        self._engine.close()


class _MemoryConnection(Connection):
    """A connection of fakeredis, which answers while a command is sent."""

    __slots__ = ("_fake", "_id", "_name")

    def __init__(self, name: str) -> None:
        self._name, self._fake = name, _connection(name)
        self.address, self.used = f"memory://{name}", time.monotonic()
        self._id = self.ask("CLIENT", "ID")

    def send(self, command: Command) -> None:
        self._fake.send_packed_command([pack(command)])

    def read(self) -> Any:
        import redis

        try:
            return self._fake.read_response(disable_decoding=True)
        except redis.ConnectionError as error:
            raise lost(error, self.address) from error
        except redis.RedisError as error:
            return hiredis.ReplyError(f"{getattr(error, 'status_code', None) or ''} {error}".lstrip())

    def wait_for_push(self, seconds: float) -> Any:
        """The next message of a subscription, or None after that time."""
        return self.read() if self._fake.can_read(seconds) else None

    def wait_longer(self, seconds: float) -> None:
        pass

    def is_broken(self) -> bool:
        return False

    def interrupt(self) -> None:
        other = _MemoryConnection(self._name)
        other.ask("CLIENT", "UNBLOCK", self._id, "ERROR")
        other.close()

    def close(self) -> None:
        self._fake.disconnect()


class _MemoryLink:
    """A ``Link`` whose futures are done when they are made; a thread brings the messages."""

    def __init__(self, engine: MemoryEngine, on_message: OnMessage) -> None:
        self._engine, self._on_message = engine, on_message
        self._loop = asyncio.get_running_loop()
        self._subscriber: _MemoryConnection | None = None
        self._closed = False

    def call(self, call: Call[Any]) -> asyncio.Future[Any]:
        raw = Call(call.function, call.anchor, call.args, _as_it_is, call.readonly, call.repeatable)
        return self._done(lambda: self._engine.run(raw))

    def command(self, *args: Argument) -> asyncio.Future[Any]:
        return self._done(lambda: self._engine.command(*args))

    def subscribe(self, channel: str) -> asyncio.Future[Any]:
        first = self._subscriber is None
        subscriber = self._subscriber = self._subscriber or _MemoryConnection(self._engine.name)
        subscriber.send(("SSUBSCRIBE", channel))
        if first:
            Thread(target=self._listen, args=(subscriber,), name="streamq memory link", daemon=True).start()
        return self._done(lambda: None)

    def close(self) -> None:
        self._closed = True
        if self._subscriber is not None:
            self._subscriber.close()

    def _done(self, ask: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        try:
            future.set_result(ask())
        except StreamqError as error:
            future.set_exception(error)
        return future

    def _listen(self, subscriber: _MemoryConnection) -> None:
        while not self._closed:
            with contextlib.suppress(StreamqError, RuntimeError):  # closed: the link, or the loop
                push = subscriber.wait_for_push(1.0)
                if push and push[0] == b"smessage":
                    self._loop.call_soon_threadsafe(self._on_message, push[1], push[2])


def _connection(name: str) -> Any:
    try:
        from fakeredis import FakeRedisConnection, FakeServer
    except ImportError:
        raise NotSupported("memory:// needs fakeredis: pip install 'streamq[memory]'") from None
    server = _SERVERS.setdefault(name, FakeServer(server_type="valkey", version=(8, 0)))
    connection = FakeRedisConnection(server=server, protocol=2)
    connection.connect()
    return connection


def _as_it_is(reply: Any) -> Any:
    return reply
