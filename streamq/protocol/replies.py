"""Readers of what RESP gives (bytes, int, None and lists of these). A reply of another form is a ProtocolError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamq.errors import ProtocolError

__all__ = ["flag", "integer", "pairs", "text", "texts"]


def text(reply: Any) -> str:
    """A string."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "replace")
    if isinstance(reply, (str, int)):
        return str(reply)
    raise ProtocolError(f"the server answered {reply!r} where a text was due")


def texts(reply: Any) -> list[str]:
    """A list of strings."""
    if not isinstance(reply, list):
        raise ProtocolError(f"the server answered {reply!r} where a list was due")
    return [text(item) for item in reply]


def integer(reply: Any) -> int:
    """A whole number, also when it came as a string."""
    try:
        return int(reply)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"the server answered {reply!r} where a number was due") from error


def flag(reply: Any) -> bool:
    """1 or 0."""
    return integer(reply) == 1


def pairs(reply: Any) -> dict[str, str]:
    """``[name, value, name, value …]`` (a map in RESP3) as a dict."""
    if isinstance(reply, Mapping):
        return {text(name): text(value) for name, value in reply.items()}
    if not isinstance(reply, list) or len(reply) % 2:
        raise ProtocolError(f"the server answered {reply!r} where names and values were due")
    return {text(reply[i]): text(reply[i + 1]) for i in range(0, len(reply), 2)}
