"""The clauses of phrases that say which days, or how often: ``every …``, ``on …``, ``the first …``, ``in …``, ``except …``.

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
    read_day_of_month,
    read_length,
    read_month,
    read_number,
    read_ordinal,
    read_weekdays,
)
from streamq.schedules.wording import NAMED_ORDINALS, days_words

__all__ = ["every", "excepted", "months_or_delay", "named_days", "ordinal_days"]

_ADVERBS: Final[dict[str, Unit]] = {
    "weekly": "week",
    "monthly": "month",
    "yearly": "year",
    "annually": "year",
}
_UNITS: Final[dict[str, Unit]] = {
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "year",
    "days": "day",
    "weeks": "week",
    "months": "month",
    "years": "year",
}
_DELAYS: Final[dict[Unit, int]] = {"day": 86_400, "week": 604_800}
_SMALL: Final = frozenset({"on", "the", "and", ","})
_QUARTERS: Final = frozenset({1, 4, 7, 10})
_PARTS_OF_YEAR: Final = {
    "quarter": {1: _QUARTERS, -1: frozenset({3, 6, 9, 12})},
    "year": {1: frozenset({1}), -1: frozenset({12})},
}


def every(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``every 15 minutes``, ``every other friday``, ``every weekday``, ``every month``, ``daily``, ``hourly``."""
    if cursor.take("hourly"):
        return _step(draft, 3600)
    if cursor.take("daily"):
        return _rules(draft, {DayRule()})
    if cursor.peek() in _ADVERBS:
        return _stride(draft, 1, _ADVERBS[cursor.next()])
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


def ordinal_days(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``the 1st and 15th``, ``the first monday of the month``, ``the last day of march``."""
    before = cursor.place
    cursor.take("on")
    cursor.take("the")
    numbers = cursor.several(read_ordinal)
    if not numbers or cursor.peek() in _UNITS.keys() - {"day"}:
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
    return _rules(draft, {DayRule(number, among) for number in numbers}, months)


def named_days(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``on weekdays``, ``mondays``, ``on monday`` beside ``every week``, ``on 25 december`` beside ``every year``."""
    before = cursor.place
    said = bool(cursor.take("on"))
    if day_months := cursor.several(read_day_of_month):
        return _yearly(draft, day_months)
    found = cursor.several(read_weekdays)
    if not found:
        if said:
            cursor.take("the")
            cursor.missed()
        return "days" if said else None
    weekdays = _union(draft, found)
    if weekdays == ALL_WEEKDAYS:
        raise ambiguous(" ".join(cursor.words[before : cursor.place]), "every day")
    if not all(plural for _, plural in found) and not (draft.stride or draft.step):
        raise ambiguous(
            " ".join(cursor.words[before : cursor.place]),
            days_words(Days(frozenset({DayRule(0, weekdays)}))),
            "a date, as 2026-12-01",
        )
    return _rules(draft, {DayRule(0, weekdays)})


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
    if (
        not among
        or any(rule.nth for rule in draft.rules)
        or not among - _union(draft, found)
        or among.isdisjoint(_union(draft, found))
    ):
        raise draft.refuse(
            "has an 'except' that fits nothing: it takes weekdays from others, as in 'every day except sunday'"
        )
    draft.rules = {DayRule(0, among - _union(draft, found))}
    return "exception"


def months_or_delay(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``in january and june`` after days; ``in 10 minutes``, counted from the present."""
    if not cursor.take("in", "of"):
        return None
    if months := cursor.several(read_month):
        if draft.months is not None:
            raise draft.refuse("says its months twice")
        draft.months = frozenset(months)
        return "months"
    if cursor.words[cursor.place - 1] == "in":
        draft.delay = cursor.attempt(_long_length) or cursor.attempt(read_length)
        if draft.delay is not None:
            return "delay"
    cursor.missed()
    return "months"


def _every_ordinal(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``every first monday of the month``; refuses ``every second monday``, which is of the month or every two weeks."""
    number = read_ordinal(cursor)
    if number is None:
        return None
    unit = cursor.peek()
    if number > 1 and _closed_unit(unit) and cursor.peek(1) not in {"of", "in"}:
        named = next((name for name, value in NAMED_ORDINALS.items() if value == number), f"{number}.")
        weekly = (
            f"every {number} weeks on {unit} starting …"
            if unit not in _UNITS
            else f"every {number} {unit}s …"
        )
        raise ambiguous(
            f"every {cursor.words[cursor.place - 1]} {unit}", weekly, f"the {named} {unit} of the month"
        )
    cursor.place -= 3 if cursor.words[cursor.place - 1] == "last" and number < -1 else 1
    if cursor.peek() == "second" and not _closed_unit(unit):
        return None
    return ordinal_days(cursor, draft, place)


def _closed_unit(word: str) -> bool:
    return word in _UNITS or read_weekdays(Cursor(word)) is not None


def _every_length(cursor: Cursor, draft: Draft) -> str | None:
    before = cursor.place
    number = read_number(cursor)
    if number is not None and cursor.peek() in _UNITS:
        cursor.place = before
        return _every_nth(cursor, draft, read_number(cursor) or 0)
    cursor.place = before
    length = cursor.attempt(read_length)
    return None if length is None else _step(draft, length)


def _every_nth(cursor: Cursor, draft: Draft, count: int) -> str:
    """What follows ``every 2`` or ``every other``: a unit, or a weekday."""
    unit = _UNITS.get(cursor.peek())
    if unit is not None:
        cursor.next()
        return _rules(draft, {DayRule()}) if (count, unit) == (1, "day") else _stride(draft, count, unit)
    weekday = cursor.attempt(_one_weekday)
    if weekday is not None:
        _stride(draft, count, "week")
        return _rules(draft, {DayRule(0, weekday)})
    length = cursor.attempt(read_length)
    if length is not None:
        return _step(draft, count * length)
    cursor.missed()
    return "days"


def _every_one(cursor: Cursor, draft: Draft, place: Place) -> str:
    """What follows ``every``: a unit, weekdays, months, or a day of a month."""
    if cursor.take("quarter"):
        return _quarterly(draft)
    if cursor.peek() in {"week", "month", "year"}:
        return _stride(draft, 1, _UNITS[cursor.next()])
    if day_months := cursor.several(read_day_of_month):
        _stride(draft, 1, "year")
        return _yearly(draft, day_months)
    if months := cursor.several(read_month):
        draft.months = frozenset(months)
        return "months"
    if found := cursor.several(read_weekdays):
        return _rules(draft, {DayRule(0, _union(draft, found))})
    cursor.missed()
    return "days"


def _one_weekday(cursor: Cursor) -> frozenset[int] | None:
    found = read_weekdays(cursor)
    return found[0] if found is not None and len(found[0]) == 1 else None


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


def _yearly(draft: Draft, day_months: list[tuple[int, int]]) -> str:
    if draft.stride is None or draft.stride[1] != "year":
        month, day = day_months[0]
        raise draft.refuse(
            f"is ambiguous: say 'every year' with it, or a year, as in '2026-{month:02}-{day:02}'"
        )
    months = {month for month, _ in day_months}
    if len(months) > 1:
        raise draft.refuse("its days are of different months: make a schedule for each")
    return _rules(draft, {DayRule(day) for _, day in day_months}, frozenset(months))


def _quarterly(draft: Draft) -> str:
    draft.months = _QUARTERS
    return _stride(draft, 1, "month")


def _rules(draft: Draft, rules: set[DayRule], months: frozenset[int] | None = None) -> str:
    if any(
        not rule.among.isdisjoint(other.among)
        for rule in rules
        for other in draft.rules
        if rule.nth == other.nth
    ):
        raise draft.refuse("names a day twice")
    draft.rules |= rules
    draft.rule_months.add(ALL_MONTHS if months is None else months)
    return "days"


def _step(draft: Draft, seconds: int) -> str:
    if draft.step is not None:
        raise draft.refuse("says how often twice: make a schedule for each")
    draft.step = seconds
    return "how often"


def _stride(draft: Draft, count: int, unit: Unit) -> str:
    if draft.stride is not None:
        raise draft.refuse("says how often twice: make a schedule for each")
    if not 1 <= count <= 1000:
        raise draft.refuse(f"every {count} {unit}s is out of range: it is from 1 to 1000")
    draft.stride = (count, unit)
    return "stride"


def _long_length(cursor: Cursor) -> int | None:
    if cursor.take_all("an hour") or cursor.take_all("a minute"):
        return 3600 if cursor.words[cursor.place - 1] == "hour" else 60
    number = read_number(cursor)
    unit = _UNITS.get(cursor.peek())
    if number is None or unit not in _DELAYS:
        return None
    cursor.next()
    return number * _DELAYS[unit]


def _union(draft: Draft, found: list[tuple[frozenset[int], bool]]) -> frozenset[int]:
    weekdays = frozenset[int]().union(*(some for some, _ in found))
    if len(weekdays) < sum(len(some) for some, _ in found):
        raise draft.refuse("names a day twice")
    return weekdays
