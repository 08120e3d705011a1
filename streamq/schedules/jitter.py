"""A delay that spreads schedules with the same fire time, and is the same for everybody who computes it."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final

from streamq.schedules.timetable import aware

__all__ = ["jitter"]

_MILLISECOND: Final = timedelta(milliseconds=1)
_WHOLE: Final = 1 << 64


def jitter(name: str, fire: datetime, most: timedelta) -> timedelta:
    """How long after ``fire`` the schedule of that name runs: whole milliseconds, from 0 to below ``most``.

    Evenly spread by name and fire time, so that schedules move apart and do so anew each time.
    """
    identity = f"{name}\n{aware(fire).timestamp():.0f}".encode()
    share = int.from_bytes(blake2b(identity, digest_size=8).digest(), "big")
    return share * (most // _MILLISECOND) // _WHOLE * _MILLISECOND
