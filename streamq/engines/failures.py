"""What an error of a server or of a connection means to the caller: a typed error that says what to do.

An error reply is known by its first word. Some say that nothing was executed and that it may work in a moment
(``TRANSIENT``); an engine repeats those. Passwords never appear: places are named by their redacted URL.
"""

from __future__ import annotations

import os
import socket

from streamq.errors import (
    ConnectionLost,
    LibraryMissing,
    NotSupported,
    OutOfMemory,
    ProtocolError,
    ReadOnlyServer,
    ServerUnavailable,
    StreamqError,
    from_reply,
)
from streamq.library import library

__all__ = [
    "ELSEWHERE",
    "TRANSIENT",
    "Busy",
    "NotLoaded",
    "Unreachable",
    "crowded",
    "lost",
    "refusal",
    "unreachable",
]

TRANSIENT = frozenset(
    {"LOADING", "BUSY", "TRYAGAIN", "ASK", "MOVED", "CLUSTERDOWN", "MASTERDOWN", "UNBLOCKED"}
)
ELSEWHERE = ("MOVED", "READONLY")  # beginnings of replies that say: another server has the shard now

_START = "Start a server there, or correct --url or STREAMQ_URL."
_REASONS: dict[str, tuple[type[StreamqError], str]] = {
    "NOAUTH": (
        ServerUnavailable,
        "asks for a password. Put it into STREAMQ_URL: redis://:PASSWORD@host:port",
    ),
    "WRONGPASS": (ServerUnavailable, "refuses the user or the password of STREAMQ_URL"),
    "NOPERM": (ServerUnavailable, "does not allow this user to do that; grant it with ACL SETUSER"),
    "OOM": (
        OutOfMemory,
        "is at its memory limit and takes no new jobs; raise maxmemory, or let the workers drain it",
    ),
    "READONLY": (ReadOnlyServer, "is a replica, which takes no writes; set STREAMQ_URL to its master"),
    "NOREPLICAS": (ReadOnlyServer, "has not enough replicas to accept writes (min-replicas-to-write)"),
    "MISCONF": (ReadOnlyServer, "cannot write to its disk and takes no writes; make room there"),
    "NOPROTO": (NotSupported, "does not speak RESP3; streamq needs Redis 6 or later, or any Valkey"),
}
_FULL = "ERR max number of clients"  # said to a connection instead of anything else, so nothing was executed
# Errors of commands inside a function come behind "ERR": these words tell them apart.
_INSIDE = (
    ("can't run this command", "NOPERM"),
    ("can't access", "NOPERM"),
    ("unknown command 'HELLO'", "NOPROTO"),
)


class NotLoaded(LibraryMissing):
    """The server does not know the function, so nothing was executed; an engine loads the library and repeats."""


class Busy(ServerUnavailable):
    """The server executed nothing and will be able to in a moment; an engine waits and repeats."""


class Unreachable(ServerUnavailable):
    """No connection could be made, so nothing was sent."""


def refusal(message: str, where: object) -> StreamqError:
    """The error that an error reply stands for. ``where`` is the server's redacted URL."""
    word, _, text = message.partition(" ")
    known = from_reply(message)
    if known:
        return known
    if message.startswith(("ERR Function not found", "NOSCRIPT")):
        return NotLoaded(f'{where} has no function library of streamq. Run "streamq function load".')
    if message.startswith(_FULL):
        return crowded(where)
    if word in TRANSIENT:
        return Busy(f"{where} is not ready: {text}")
    word = next((code for part, code in _INSIDE if part in message), word)
    if word in _REASONS:
        kind, sentence = _REASONS[word]
        return kind(f"{where} {sentence} ({library().located(message)})")
    return ProtocolError(f"{where} answered: {library().located(message)}")


def crowded(where: object) -> Busy:
    """The error of a connection that the server closed at once, before it read anything."""
    return Busy(
        f"{where} has no room for another connection: raise its maxclients, or see with CLIENT LIST who has so many"
    )


def unreachable(error: OSError, where: object) -> Unreachable:
    """The error of a connection that could not be made; nothing was sent."""
    made = Unreachable(f"cannot reach {where} ({_reason(error)}).\n{_START}")
    made.__cause__ = error
    return made


def lost(error: BaseException | None, where: object) -> ConnectionLost:
    """The error of a connection that broke or fell silent; what was under way may or may not have been executed."""
    reason = _reason(error) if error else "closed by the server"
    made = ConnectionLost(
        f"the connection to {where} broke ({reason}); what was under way may have been executed"
    )
    made.__cause__ = error
    return made


def _reason(error: BaseException) -> str:
    if isinstance(error, ConnectionLost):  # while logging in
        return _reason(error.__cause__) if error.__cause__ else "closed by the server"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, socket.gaierror):
        return "unknown host"
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error)
