"""Readers of what RESP gives (bytes, int, None, lists of these). Another form is a ProtocolError that says what came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamq.errors import ProtocolError

__all__ = ["flag", "integer", "number", "pairs", "parts", "text", "texts", "twos", "unexpected"]

_SHOWN = 80  # characters of a reply in an error


def text(reply: Any) -> str:
    """A string."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "replace")
    if isinstance(reply, (str, int)):
        return str(reply)
    raise unexpected(reply, "a text")


def texts(reply: Any) -> list[str]:
    """A list of strings."""
    return [text(item) for item in parts(reply, 0)]


def integer(reply: Any) -> int:
    """A whole number, also when it came as a string."""
    try:
        return int(reply)
    except (TypeError, ValueError, OverflowError) as error:
        raise unexpected(reply, "a number") from error


def number(reply: Any) -> float:
    """A number with a fraction, which Lua can give as text only."""
    try:
        return float(reply)
    except (TypeError, ValueError, OverflowError) as error:
        raise unexpected(reply, "a number") from error


def flag(reply: Any) -> bool:
    """1 or 0."""
    return integer(reply) == 1


def parts(reply: Any, least: int) -> list[Any]:
    """A list of at least that many parts; a later library may answer more."""
    if isinstance(reply, list) and len(reply) >= least:
        return reply
    raise unexpected(reply, f"a list of at least {least} parts" if least else "a list")


def twos(reply: Any) -> list[tuple[Any, Any]]:
    """``[a, b, a, b …]`` by two."""
    if isinstance(reply, list) and len(reply) % 2 == 0:
        return list(zip(reply[::2], reply[1::2], strict=True))
    raise unexpected(reply, "a list of pairs")


def pairs(reply: Any) -> dict[str, str]:
    """``[name, value, name, value …]`` (a map in RESP3) as a dict."""
    if isinstance(reply, Mapping):
        return {text(name): text(value) for name, value in reply.items()}
    return {text(name): text(value) for name, value in twos(reply)}


def unexpected(reply: Any, due: str) -> ProtocolError:
    """The error about a reply of another form; ``due`` is what was expected."""
    shown = f"a list of {len(reply)} parts" if isinstance(reply, list) else repr(reply)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    return ProtocolError(
        f"the server answered {shown} where {due} was due; is another library of that name loaded? "
        '"streamq function show" compares it with this installation'
    )
