"""The clauses of phrases that say which days: ``on …``, ``the first …``, ``in …``, ``except …``.

A clause reads its words at the cursor, writes what they say into the draft, and returns what it is about, or None
(with nothing read) when the words are not its own.
"""

from __future__ import annotations

from typing import Final

from streamq.errors import BadSchedule
from streamq.schedules.cursor import Cursor, ambiguous
from streamq.schedules.days import ALL_MONTHS, ALL_WEEKDAYS, DayRule, Days, Unit
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
from streamq.schedules.wording import days_words

__all__ = ["excepted", "months_or_delay", "named_days", "ordinal_days", "yearly_days"]

_DELAYS: Final[dict[Unit, int]] = {"day": 86_400, "week": 604_800}
_SMALL: Final = frozenset({"on", "the", "and", ","})
_PARTS_OF_YEAR: Final = {
    "quarter": {1: frozenset({1, 4, 7, 10}), -1: frozenset({3, 6, 9, 12})},
    "year": {1: frozenset({1}), -1: frozenset({12})},
}


def ordinal_days(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``the 1st and 15th``, ``the first monday of the month``, ``the last day of march``."""
    before = cursor.place
    cursor.take("on")
    cursor.take("the")
    numbers = cursor.several(read_ordinal)
    if not numbers or cursor.peek() in UNITS.keys() - {"day"}:
        cursor.place = before
        return None
    found = cursor.attempt(read_weekdays)
    months = _of_months(cursor, numbers)
    if months is None:
        words = " ".join(cursor.words[before : cursor.place])
        if found is not None or not all(word[0].isdigit() for word in words.split() if word not in _SMALL):
            raise BadSchedule(f"{words!r} of what? Say '{words} of the month', or of which month")
        months = ALL_MONTHS
    among = found[0] if found else ALL_WEEKDAYS
    return draft.say_days({DayRule(number, among) for number in numbers}, months)


def named_days(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``on weekdays``, ``mondays``, ``on monday`` beside ``every week``, ``on 25 december`` beside ``every year``."""
    before = cursor.place
    said = bool(cursor.take("on"))
    if day_months := cursor.several(read_day_of_month):
        return yearly_days(draft, day_months)
    found = cursor.several(read_weekdays)
    if not found:
        if said:
            cursor.take("the")
            cursor.missed()
        return "days" if said else None
    weekdays = draft.one_of_each(found)
    if weekdays == ALL_WEEKDAYS:
        raise ambiguous(" ".join(cursor.words[before : cursor.place]), "every day")
    if not all(plural for _, plural in found) and not (draft.stride or draft.step):
        raise ambiguous(
            " ".join(cursor.words[before : cursor.place]),
            days_words(Days(frozenset({DayRule(0, weekdays)}))),
            "a date, as 2026-12-01",
        )
    return draft.say_days({DayRule(0, weekdays)})


def excepted(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``except sunday``, ``except on mondays and fridays``, after the days that it takes from."""
    if not cursor.take("except", "excluding"):
        return None
    cursor.take("on")
    found = cursor.several(read_weekdays)
    if not found:
        cursor.missed()
        return "exception"
    among = frozenset[int]().union(*(rule.among for rule in draft.rules if not rule.nth))
    without = among - draft.one_of_each(found)
    if any(rule.nth for rule in draft.rules) or without in (frozenset(), among):
        raise draft.refuse(
            "has an 'except' that fits nothing: it takes weekdays from others, as in 'every day except sunday'"
        )
    draft.rules = {DayRule(0, without)}
    return "exception"


def months_or_delay(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``in january and june`` after days; ``in 10 minutes``, counted from the present."""
    if not cursor.take("in", "of"):
        return None
    if months := cursor.several(read_month):
        return draft.say_months(frozenset(months))
    if cursor.words[cursor.place - 1] == "in":
        draft.delay = cursor.attempt(_long_length) or cursor.attempt(read_length)
        if draft.delay is not None:
            return "delay"
    cursor.missed()
    return "months"


def yearly_days(draft: Draft, day_months: list[tuple[int, int]]) -> str:
    """``25 december``, of a schedule that says that it comes every year."""
    if draft.stride is None or draft.stride[1] != "year":
        month, day = day_months[0]
        raise draft.refuse(
            f"is ambiguous: say 'every year' with it, or a year, as in '2026-{month:02}-{day:02}'"
        )
    months = {month for month, _ in day_months}
    if len(months) > 1:
        raise draft.refuse("its days are of different months: make a schedule for each")
    return draft.say_days({DayRule(day) for _, day in day_months}, frozenset(months))


def _of_months(cursor: Cursor, numbers: list[int]) -> frozenset[int] | None:
    """What follows ordinals: ``of the month``, ``of january and june``, ``of the quarter``; None when nothing does."""
    before = cursor.place
    if not cursor.take("of", "in"):
        return None
    if months := cursor.several(read_month):
        return frozenset(months)
    cursor.take("the", "each", "every")
    if cursor.take("month"):
        return ALL_MONTHS
    part = _PARTS_OF_YEAR.get(cursor.peek(), {})
    if len(numbers) == 1 and numbers[0] in part:
        cursor.next()
        return part[numbers[0]]
    cursor.place = before
    return None


def _long_length(cursor: Cursor) -> int | None:
    if cursor.take_all("an hour") or cursor.take_all("a minute"):
        return 3600 if cursor.words[cursor.place - 1] == "hour" else 60
    number = read_number(cursor)
    unit = UNITS.get(cursor.peek())
    if number is None or unit not in _DELAYS:
        return None
    cursor.next()
    return number * _DELAYS[unit]
