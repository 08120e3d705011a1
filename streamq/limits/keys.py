"""Names of limits and the keys that jobs carry: ``openai``, ``tenant:acme``, and how values get into them.

A key's value may be any text; what a lane uses as punctuation is percent-encoded (RFC 3986, 2.1), and what is long is a
digest, so that the same value gives the same key in every lane, language and process.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from typing import Final
from uuid import UUID

from streamq.errors import ConfigError, WrongCall

__all__ = ["MEMORY", "NAME_MAX", "QUEUE", "VALUE_MAX", "check_name", "encoded", "key_of"]

QUEUE: Final = "queue"  # the key of every job of a queue that has a limit as a whole
MEMORY: Final = "memory"  # no key: the mark of the server's memory
NAME_MAX: Final = 40  # characters
VALUE_MAX: Final = 48  # bytes, encoded
_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_.-]{{0,{NAME_MAX - 1}}}")
_PLAIN = re.compile(rf"[A-Za-z0-9_.@/-]{{1,{VALUE_MAX}}}").fullmatch
_SPECIAL = re.compile(r"[^A-Za-z0-9_.@/-]")
_TEXTUAL = (int, UUID, Decimal, date)


def check_name(name: object, what: str) -> str:
    """The name of a limit or lane, or ConfigError. ``what`` it is for: ``Limit``, ``Breaker`` …"""
    if isinstance(name, str) and name in (QUEUE, MEMORY):
        raise ConfigError(
            f"{what}({name!r}): that name is the server's; for a whole queue use app.limit(queue=…)"
        )
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise ConfigError(
        f"{what}({name!r:.60}): a name has 1 to {NAME_MAX} letters, digits and _ . - and begins with a letter"
    )


def encoded(value: object, what: str) -> str | None:
    """A value as it stands in a key; None stays None. Raises WrongCall about ``what`` for a value without a stable text."""
    if type(value) is str and _PLAIN(value):
        return value
    if value is None:
        return None
    text = _text(value, what)
    try:
        safe = _SPECIAL.sub(_escaped, text)
        return (
            safe
            if len(safe.encode()) <= VALUE_MAX
            else f"digest-{blake2b(text.encode(), digest_size=16).hexdigest()}"
        )
    except UnicodeEncodeError:
        raise WrongCall(f"{what} is not valid Unicode (a lone surrogate). Nothing was sent.") from None


def key_of(name: str, value: object, what: str) -> str:
    """``tenant:acme`` of a name and a value that is not None."""
    return f"{name}:{encoded(value, what)}"


def _text(value: object, what: str) -> str:
    value = value.value if isinstance(value, Enum) else value
    if isinstance(value, str):
        if value:
            return value
        raise WrongCall(f"{what} is an empty text, which is no key; None means no key. Nothing was sent.")
    if isinstance(value, _TEXTUAL):
        return str(value)
    raise WrongCall(
        f"{what} is of type {type(value).__qualname__}: a key is a text, a whole number, a UUID or a date; "
        "use a function that makes one. Nothing was sent."
    )


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if ord(character) > 127 and character.isalpha():
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode())
