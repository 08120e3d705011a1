"""The clause ``every …`` of phrases, and its adverbs: how often, every which day, week, month, or which of them.

Like the other clauses, it reads its words at the cursor, writes what they say into the draft, and returns what it is about.
"""

from __future__ import annotations

from typing import Final

from streamq.schedules.cursor import Cursor, ambiguous
from streamq.schedules.day_clauses import ordinal_days, yearly_days
from streamq.schedules.days import DayRule, Unit
from streamq.schedules.draft import Draft, Place
from streamq.schedules.lexicon import (
    UNITS,
    read_day_of_month,
    read_length,
    read_month,
    read_number,
    read_ordinal,
    read_weekdays,
)
from streamq.schedules.wording import NAMED_ORDINALS

__all__ = ["every"]

_ADVERBS: Final[dict[str, Unit]] = {
    "weekly": "week",
    "monthly": "month",
    "yearly": "year",
    "annually": "year",
}
_QUARTERS: Final = frozenset({1, 4, 7, 10})


def every(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``every 15 minutes``, ``every other friday``, ``every weekday``, ``every month``, ``daily``, ``hourly``."""
    if cursor.take("hourly"):
        return draft.say_step(3600)
    if cursor.take("daily"):
        return draft.say_days({DayRule()})
    if cursor.peek() in _ADVERBS:
        return draft.say_stride(1, _ADVERBS[cursor.next()])
    if cursor.take("quarterly"):
        return _quarterly(draft)
    if not cursor.take("every", "each"):
        return None
    if cursor.take("other"):
        return _every_nth(cursor, draft, 2)
    return (
        _every_ordinal(cursor, draft, place)
        or _every_length(cursor, draft)
        or _every_one(cursor, draft, place)
    )


def _every_ordinal(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``every first monday of the month``; refuses ``every second monday``, which is of the month or every two weeks."""
    before = cursor.place
    number = read_ordinal(cursor)
    if number is None:
        return None
    said, unit, goes_on = cursor.words[cursor.place - 1], cursor.peek(), cursor.peek(1) in {"of", "in"}
    cursor.place = before
    if said == "second" and not _is_unit(unit):
        return None
    if number > 1 and _is_unit(unit) and not goes_on:
        named = next((name for name, value in NAMED_ORDINALS.items() if value == number), said)
        again = f"every {number} {unit}s …" if unit in UNITS else f"every {number} weeks on {unit} starting …"
        raise ambiguous(f"every {said} {unit}", again, f"the {named} {unit} of the month")
    return ordinal_days(cursor, draft, place)


def _is_unit(word: str) -> bool:
    return word in UNITS or read_weekdays(Cursor(word)) is not None


def _every_length(cursor: Cursor, draft: Draft) -> str | None:
    before = cursor.place
    number = read_number(cursor)
    if number is not None and cursor.peek() in UNITS:
        cursor.place = before
        return _every_nth(cursor, draft, read_number(cursor) or 0)
    cursor.place = before
    length = cursor.attempt(read_length)
    return None if length is None else draft.say_step(length)


def _every_nth(cursor: Cursor, draft: Draft, count: int) -> str:
    """What follows ``every 2`` or ``every other``: a unit, or a weekday."""
    unit = UNITS.get(cursor.peek())
    if unit is not None:
        cursor.next()
        return draft.say_days({DayRule()}) if (count, unit) == (1, "day") else draft.say_stride(count, unit)
    weekday = cursor.attempt(_one_weekday)
    if weekday is not None:
        draft.say_stride(count, "week")
        return draft.say_days({DayRule(0, weekday)})
    length = cursor.attempt(read_length)
    if length is not None:
        return draft.say_step(count * length)
    cursor.missed()
    return "days"


def _every_one(cursor: Cursor, draft: Draft, place: Place) -> str:
    """What follows ``every``: a unit, weekdays, months, or a day of a month."""
    if cursor.take("quarter"):
        return _quarterly(draft)
    if cursor.peek() in {"week", "month", "year"}:
        return draft.say_stride(1, UNITS[cursor.next()])
    if day_months := cursor.several(read_day_of_month):
        draft.say_stride(1, "year")
        return yearly_days(draft, day_months)
    if months := cursor.several(read_month):
        return draft.say_months(frozenset(months))
    if found := cursor.several(read_weekdays):
        return draft.say_days({DayRule(0, draft.one_of_each(found))})
    cursor.missed()
    return "days"


def _one_weekday(cursor: Cursor) -> frozenset[int] | None:
    found = read_weekdays(cursor)
    return found[0] if found is not None and len(found[0]) == 1 else None


def _quarterly(draft: Draft) -> str:
    draft.say_months(_QUARTERS)
    return draft.say_stride(1, "month")
