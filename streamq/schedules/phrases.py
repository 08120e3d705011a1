"""Schedules in plain language: clauses in any order, each understood to its last word, or the phrase is refused.

Words that no clause knows are collected and named. Two clauses about the same thing are joined only by "and" and side
by side (``every monday and friday``); ``every monday at 9am and every friday at 5pm`` would be two schedules, and is
refused rather than read as all four combinations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streamq.errors import BadSchedule
from streamq.schedules.assembling import assemble
from streamq.schedules.cursor import Cursor
from streamq.schedules.day_clauses import excepted, months_or_delay, named_days, ordinal_days
from streamq.schedules.draft import Draft, Place
from streamq.schedules.every_clause import every
from streamq.schedules.time_clauses import at, between, one_date, starting
from streamq.schedules.timetable import Timetable

__all__ = ["parse_phrase"]

_CLAUSES: Final[tuple[Callable[[Cursor, Draft, Place], str | None], ...]] = (
    *(every, between, one_date, at, starting),
    *(ordinal_days, named_days, excepted, months_or_delay),
)
_HINTS: Final = {
    "twice": "say the times, as in 'every day at 9am and 5pm'",
    "biweekly": "say 'every 2 weeks on monday starting 2026-12-07', or two weekdays",
    "bimonthly": "say 'every 2 months starting 2026-12-01', or two days of the month",
    "fortnightly": "say 'every 2 weeks on monday starting 2026-12-07'",
    "until": "the end of a schedule is given apart from its phrase",
    **dict.fromkeys(
        ("morning", "evening", "night", "afternoon", "lunchtime"), "say a time, as in 'at 18:00'"
    ),
    **dict.fromkeys(
        ("pst", "pdt", "cst", "cdt", "edt", "ist", "bst", "cest"),
        "name the zone by a place, as in Europe/Rome",
    ),
}


def parse_phrase(text: str, place: Place) -> Timetable:
    """The timetable of a phrase. Raises BadSchedule with the words that were not understood, or with the readings."""
    cursor, draft = Cursor(text), Draft(text)
    try:
        _read(cursor, draft, place)
    except BadSchedule:
        if not cursor.unknown:
            raise
    if cursor.unknown:
        raise _not_understood(text, cursor.unknown)
    return assemble(draft, place)


def _read(cursor: Cursor, draft: Draft, place: Place) -> None:
    seen: list[str] = []
    while not cursor.ended:
        comma, joined = bool(cursor.take(",")), bool(cursor.take("and"))
        about = next((found for clause in _CLAUSES if (found := clause(cursor, draft, place))), None)
        if about is None:
            cursor.missed()
        elif not cursor.unknown:
            _check_order(draft, seen, about, comma, joined)


def _check_order(draft: Draft, seen: list[str], about: str, comma: bool, joined: bool) -> None:
    beside = bool(seen) and seen[-1] == about
    if (joined and not beside) or (beside and not (comma or joined)) or (about in seen and not beside):
        raise draft.refuse(
            f"says its {about} in two places, or joins what does not belong together: make a schedule of each"
        )
    seen.append(about)


def _not_understood(text: str, unknown: list[str]) -> BadSchedule:
    words = ", ".join(repr(word) for word in unknown)
    hints = [f"{word!r}: {_HINTS[word]}" for word in unknown if word in _HINTS]
    return BadSchedule(f"not understood in {text!r}: {words}" + (f" ({'; '.join(hints)})" if hints else ""))
