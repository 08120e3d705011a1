"""Names of time zones, as the zone database has them, in any case."""

from __future__ import annotations

import difflib
from functools import cache
from typing import Final
from zoneinfo import available_timezones

from streamq.errors import BadSchedule

__all__ = ["find_zone", "known_zone"]

_NOT_PLACES: Final = frozenset({"localtime", "Factory", "posixrules"})


def find_zone(word: str) -> str | None:
    """The zone's own name, or None when there is no such zone."""
    return _zones().get(word.lower())


def known_zone(name: str) -> str:
    """The zone's own name. Raises BadSchedule with the nearest one when there is no such zone."""
    found = find_zone(name)
    if found is None:
        near = difflib.get_close_matches(name.lower(), _zones(), n=1)
        hint = f"did you mean {_zones()[near[0]]}?" if near else "use an IANA name, as Europe/Rome"
        raise BadSchedule(f"{name!r} is no time zone: {hint}")
    return found


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in sorted(available_timezones() - _NOT_PLACES)}
