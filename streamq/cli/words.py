"""Times and amounts as people read them. All times are milliseconds."""

from __future__ import annotations

import re
from datetime import datetime

__all__ = ["ago", "amount", "counted", "duration", "moment", "size", "without_seals"]

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"))


def duration(ms: float) -> str:
    """``0.02 ms``, ``350 ms``, ``12.5 s``, ``3 m``, ``2 h``, ``4 d``."""
    if ms < 1_000:
        return f"{ms:.2f} ms" if ms < 1 else f"{ms:.3g} ms"
    unit_ms, name = next(unit for unit in _UNITS if ms >= unit[0])
    return f"{ms / unit_ms:.3g} {name}" if ms < 10 * unit_ms or name == "s" else f"{ms / unit_ms:.0f} {name}"


def ago(ms: float, now_ms: float) -> str:
    """How long ago, or in how long."""
    return f"in {duration(ms - now_ms)}" if ms > now_ms else f"{duration(now_ms - ms)} ago"


def moment(ms: float) -> str:
    """Date and time of this machine's zone."""
    return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def amount(number: float) -> str:
    """``1,234``."""
    return f"{number:,.0f}"


def counted(number: int, noun: str) -> str:
    """``1 job``, ``1,234 jobs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(count: float) -> str:
    """Bytes as ``12.3 MB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1_000:
            return f"{count:.3g} {unit}"
        count /= 1_000
    return f"{count:.3g} GB"


def without_seals(text: str) -> str:
    """Sealed words, which nobody can read, as ``(sealed)``."""
    return re.sub(r"\bsealed:\S+", "(sealed)", text)
