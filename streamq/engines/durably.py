"""How to make sure of a write: what to ask the server, and what its answer proves.

Waiting only counts on the connection that has written. Nothing is claimed that the server has not confirmed.
"""

from __future__ import annotations

from typing import Any

from streamq.config import Durability
from streamq.library import Command

__all__ = ["ASK_AOF", "has_aof", "proof", "reached"]

ASK_AOF: Command = ("INFO", "persistence")


def has_aof(reply: Any) -> bool:
    """Whether the server keeps an append-only file, from its answer to ``ASK_AOF``."""
    return isinstance(reply, bytes) and b"aof_enabled:1" in reply


def proof(level: Durability, timeout: float) -> Command | None:
    """The command that waits for the level, for ``timeout`` seconds at most; None when there is nothing to wait for."""
    milliseconds = int(timeout * 1000)
    if level is Durability.REPLICATED:
        return ("WAIT", 1, milliseconds)
    if level is Durability.FSYNCED:
        return ("WAITAOF", 1, 0, milliseconds)
    return None


def reached(level: Durability, answer: Any, aof: bool) -> Durability:
    """The level that the answer proves. A server without the command, or one that ran out of time, proves less."""
    if level is Durability.REPLICATED and isinstance(answer, int) and answer >= 1:
        return level
    if level is Durability.FSYNCED and isinstance(answer, list) and answer[0] >= 1:
        return level
    return Durability.AOF if aof else Durability.MEMORY
