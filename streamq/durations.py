"""Lengths of time as people write them: seconds, ``"500ms"``, ``"30s"``, ``"1h30m"``, ``"2d"``, or a timedelta."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from streamq.errors import ConfigError

__all__ = ["Duration", "seconds"]

Duration = float | int | str | timedelta

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_LONGEST = 10 * 365 * 86400.0
_LONGEST_TEXT = 64
_FORM = 'use seconds (30), a text ("500ms", "30s", "5m", "1h30m", "2d") or a timedelta'


def seconds(value: Duration, name: str = "duration") -> float:
    """The seconds of a duration, from 0 to ten years. ``name`` says in the ConfigError what it was for."""
    found = _read(value)
    if found is None:
        raise ConfigError(f"{name}={str(value)[:_LONGEST_TEXT]!r} is not a duration: {_FORM}")
    if not 0 <= found <= _LONGEST:
        raise ConfigError(f"{name}={str(value)[:_LONGEST_TEXT]!r} is out of range: it is from 0 to ten years")
    return found


def _read(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(min(value, 1e300))
    if isinstance(value, timedelta):
        return value.total_seconds()
    return _read_text(value.strip()) if isinstance(value, str) else None


def _read_text(text: str) -> float | None:
    if len(text) > _LONGEST_TEXT:
        return None
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _WHOLE.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
