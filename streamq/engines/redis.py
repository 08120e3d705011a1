"""The engine for threads: a pool of connections to one server that is found through a place.

A thread leases a connection for one call, so a call costs one write and one read. Nothing is repeated behind the
caller's back but what ``patience`` allows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any, TypeVar

import hiredis

from streamq.config import Config, Durability
from streamq.engines import durably
from streamq.engines.ahead import Ahead
from streamq.engines.base import Kept
from streamq.engines.connection import Connection
from streamq.engines.failures import NotLoaded, Unreachable, refusal
from streamq.engines.patience import LOADS, Patience
from streamq.engines.place import Place
from streamq.errors import ServerUnavailable, StreamqError
from streamq.forks import generation
from streamq.library import Command, Dialect, library
from streamq.protocol import Argument, Call

__all__ = ["RedisEngine"]

R = TypeVar("R")
_FRESH = 1.0  # seconds for which an idle connection is trusted without a look at it


class RedisEngine:
    """An ``Engine`` for one server."""

    def __init__(self, config: Config, place: Place) -> None:
        self.config, self._place = config, place
        self._library = library()
        self._dialect: Dialect | None = None
        self._installs = 0
        self._aof: bool | None = None
        self._start()

    def _start(self) -> None:
        """Without connections: at first, and in a child after a fork, which must not share its parent's."""
        self._generation = generation()
        self._lock = Lock()
        self._idle: list[Connection] = []
        self._receiving: set[Connection] = set()

    def run(self, call: Call[R]) -> R:
        """Carry one call and read its answer."""
        return call.read(self._carry(call, None)[0])

    def run_each(self, calls: Iterable[Call[R]]) -> Iterator[R | StreamqError]:
        """Carry repeatable calls to one shard, in order, one ahead: the next is sent before the last is answered.

        An error stands in the place of the answer that it prevents.
        """
        ahead = Ahead(self._opened(), self._command, self.run)
        try:
            for call in calls:
                ahead.send(call)
                if len(ahead.under_way) > 1:
                    yield ahead.read()
            while ahead.under_way:
                yield ahead.read()
        finally:
            if connection := ahead.end():
                self._give_back(connection)

    def run_durably(self, call: Call[Any], level: Durability) -> Kept:
        """Carry one call, then wait until its writes are as safe as ``level`` says, for half of ``reply_timeout`` at most."""
        reply, answer = self._carry(call, durably.proof(level, self.config.reply_timeout / 2))
        return Kept(call.read(reply), durably.reached(level, answer, self._has_aof()))

    def command(self, *args: Argument) -> Any:
        """Carry one plain command; the reply as it comes, never repeated."""
        try:
            return self._ask(args)
        except Unreachable:  # not executed: the server was restarted since the last call
            self._close_idle()
            return self._ask(args)

    def receive(self, key: str, timeout: float) -> bytes | None:
        """Wait for an element of a list (BLPOP) for ``timeout`` seconds, on a connection of its own."""
        connection = self._lease()
        self._receiving.add(connection)
        try:
            connection.wait_longer(timeout)
            reply = connection.ask("BLPOP", key, timeout)
            connection.wait_longer(0)
        except BaseException:
            connection.close()
            raise
        finally:
            self._receiving.discard(connection)
        popped = self._checked(connection, reply)
        return popped[1] if popped else None

    def install(self, *, anyway: bool = False) -> Dialect:
        """Put the function library on the server unless it is there; ``anyway`` replaces other content of it."""
        connection = self._lease()
        self._dialect = dialect = connection.converse(self._library.install(anyway=anyway))
        self._give_back(connection)
        return dialect

    def close(self) -> None:
        """Close all connections; who waits in ``receive`` gets ConnectionLost. It opens anew when it is used again."""
        for connection in tuple(self._receiving):
            connection.interrupt()
        self._close_idle()

    def _carry(self, call: Call[Any], proof: Command | None) -> tuple[Any, Any]:
        """Send a call, and again where that is allowed, until it is answered."""
        patience: Patience | None = None
        loads = 0
        while True:
            seen = self._installs
            try:
                return self._attempt(call, proof)
            except NotLoaded:
                if loads == LOADS:
                    raise
                loads += 1
                self._load(seen)
            except ServerUnavailable as error:
                self._close_idle()
                connected = self._dialect is not None
                patience = patience or Patience(self.config.reconnect_for, connected, self._place.moves)
                time.sleep(patience.pause(error, call.repeatable))
                proof = None  # a repeated call may have nothing to write; its connection would prove nothing

    def _attempt(self, call: Call[Any], proof: Command | None) -> tuple[Any, Any]:
        """Send a call once, and its proof behind it; the reply of each."""
        connection = self._lease()
        try:
            if self._dialect is None:
                self._first(connection)
            connection.send(self._command(call))
            reply = connection.read()
            answer = connection.ask(*proof) if proof else None
        except BaseException:
            connection.close()
            raise
        return self._checked(connection, reply), answer

    def _ask(self, command: Command) -> Any:
        connection = self._lease()
        return self._checked(connection, connection.ask(*command))

    def _load(self, seen: int) -> None:
        """Load the library after a call was not known; threads that failed together load it once."""
        with self._lock:
            if self._installs == seen:
                self.install()
                self._installs += 1

    def _first(self, connection: Connection) -> None:
        """Before the first call: load the library, or find that it is there and not too old."""
        with self._lock:
            if self._dialect is None:
                self._dialect = connection.converse(self._library.install())

    def _command(self, call: Call[Any]) -> Command:
        return self._library.command(call, self._dialect or Dialect.FUNCTIONS)

    def _opened(self) -> Connection | None:
        """A connection to a server that is known to know the library, if that can be had at once."""
        try:
            return self._lease() if self._dialect else None
        except ServerUnavailable:
            return None

    def _has_aof(self) -> bool:
        if self._aof is None:
            self._aof = durably.has_aof(self.command(*durably.ASK_AOF))
        return self._aof

    def _lease(self) -> Connection:
        if self._generation != generation():
            self._close_idle()
            self._start()
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if time.monotonic() - connection.used < _FRESH or not connection.is_broken():
                return connection
            connection.close()
        return self._connect()

    def _connect(self) -> Connection:
        return Connection(self._place.locate(), self.config.connect_timeout, self.config.reply_timeout)

    def _give_back(self, connection: Connection) -> None:
        connection.used = time.monotonic()
        self._idle.append(connection)

    def _checked(self, connection: Connection, reply: Any) -> Any:
        """Give the connection back; the reply, or the error that it stands for."""
        self._give_back(connection)
        if isinstance(reply, hiredis.ReplyError):
            raise refusal(str(reply), connection.address) from reply
        return reply

    def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
