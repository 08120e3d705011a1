"""The small things that phrases are made of: numbers, lengths, times of day, weekdays, ordinals, months, dates.

Each function reads one thing at a cursor and returns it, or None where there is none; what could be read in two ways
is refused with both readings.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from streamq.errors import BadSchedule
from streamq.schedules.cursor import Cursor, ambiguous
from streamq.schedules.days import ALL_WEEKDAYS, Unit
from streamq.schedules.wording import MONTHS, NAMED_ORDINALS, WEEKDAYS, WEEKEND, WORKDAYS

__all__ = [
    "UNITS",
    "read_date",
    "read_day_of_month",
    "read_length",
    "read_month",
    "read_number",
    "read_ordinal",
    "read_time",
    "read_weekdays",
]

_NUMBERS: Final = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
}
_LENGTHS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
}
UNITS: Final[dict[str, Unit]] = {
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "year",
    "days": "day",
    "weeks": "week",
    "months": "month",
    "years": "year",
}
_JOINED: Final = re.compile(r"(?:\d+h)?(?:\d+m)?(?:\d+s)?", re.ASCII)
_PART: Final = re.compile(r"(\d+)([hms])", re.ASCII)
_TIME: Final = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?(am|pm|a\.m\.|p\.m\.)?", re.ASCII)
_HALVES: Final = {"am": "am", "a.m.": "am", "pm": "pm", "p.m.": "pm"}
_NTH: Final = re.compile(r"(\d{1,2})(st|nd|rd|th)", re.ASCII)
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SLASHED: Final = re.compile(r"(\d{1,4})[/.](\d{1,2})(?:[/.](\d{1,4}))?", re.ASCII)
_DAYS: Final = {
    **{name: frozenset({place}) for place, name in enumerate(WEEKDAYS)},
    **{name[:3]: frozenset({place}) for place, name in enumerate(WEEKDAYS)},
    "tues": frozenset({1}),
    "thur": frozenset({3}),
    "thurs": frozenset({3}),
    "weekday": WORKDAYS,
    "workday": WORKDAYS,
    "weekend": WEEKEND,
    "day": ALL_WEEKDAYS,
}
_MONTHS: Final = {
    **{name: number for number, name in enumerate(MONTHS, start=1)},
    **{name[:3]: number for number, name in enumerate(MONTHS, start=1)},
    "sept": 9,
}


def read_number(cursor: Cursor) -> int | None:
    """``15`` or ``two``."""
    word = cursor.peek()
    number = int(word) if word.isascii() and word.isdigit() and len(word) < 9 else _NUMBERS.get(word)
    if number is not None:
        cursor.next()
    return number


def read_length(cursor: Cursor) -> int | None:
    """Seconds of ``15 minutes``, ``90 s``, ``1h30m``, ``1 hour and 30 minutes``, ``half hour``, or of a unit alone."""
    if cursor.take_all("half an hour") or cursor.take_all("half hour"):
        return 1800
    if cursor.peek() in _LENGTHS and len(cursor.peek()) > 1:
        return _LENGTHS[cursor.next()]
    parts = cursor.several(_part_of_length) if cursor.peek() else []
    while parts and (more := cursor.attempt(_part_of_length)) is not None:
        parts.append(more)
    return sum(parts) if parts else None


def read_time(cursor: Cursor) -> int | None:
    """Seconds since midnight of ``9am``, ``5:30 pm``, ``17:30``, ``noon``. Refuses a bare ``5``: which half of the day?"""
    if cursor.peek() in {"noon", "midday", "midnight"}:
        return 0 if cursor.next() == "midnight" else 43_200
    match = _TIME.fullmatch(cursor.peek())
    if match is None:
        return None
    cursor.next()
    half = _HALVES.get(match[4] or cursor.take(*_HALVES), "")
    return _seconds(match, half)


def read_weekdays(cursor: Cursor) -> tuple[frozenset[int], bool] | None:
    """The weekdays of ``monday``, ``fridays``, ``weekdays``, ``business day``, ``mon-fri``, ``monday to friday``, and
    whether the word was in the plural, which says that it is meant again and again."""
    if cursor.take("business", "working"):
        word = cursor.take("day", "days")
        return (WORKDAYS, word == "days") if word else None
    word = cursor.peek()
    if "-" in word and all(part in _DAYS for part in word.split("-", 1)):
        first, last = cursor.next().split("-", 1)
        return _range(first, last), True
    plural = word not in _DAYS and word.endswith("s")
    name = word[:-1] if plural else word
    if name not in _DAYS or not word:
        return None
    cursor.next()
    if (
        cursor.peek() in {"to", "through"}
        and len(_DAYS[name]) == 1
        and cursor.peek(1).removesuffix("s") in _DAYS
    ):
        cursor.next()
        return _range(name, cursor.next().removesuffix("s")), True
    return _DAYS[name], plural


def read_ordinal(cursor: Cursor) -> int | None:
    """``1st``, ``first``, ``last`` (-1), ``second to last`` (-2)."""
    match = _NTH.fullmatch(cursor.peek())
    number = int(match[1]) if match else NAMED_ORDINALS.get(cursor.peek())
    if number is None or not -1 <= number <= 31 or number == 0:
        return None
    cursor.next()
    return -number if number > 0 and cursor.take_all("to last") else number


def read_month(cursor: Cursor) -> int | None:
    """``january``, ``jan``: 1."""
    number = _MONTHS.get(cursor.peek())
    if number is not None:
        cursor.next()
    return number


def read_date(cursor: Cursor) -> date | None:
    """``2026-12-01``, ``1 december 2026``, ``december 1st, 2026``. Refuses ``5/6``: which is the month?"""
    word = cursor.peek()
    if _ISO_DATE.fullmatch(word):
        cursor.next()
        return _checked(word, *(int(part) for part in word.split("-")))
    if (match := _SLASHED.fullmatch(word)) is not None:
        raise _slashed(word, match)
    day_month = cursor.attempt(read_day_of_month)
    if day_month is None:
        return None
    month, day = day_month
    if cursor.peek() == "," and re.fullmatch(r"\d{4}", cursor.peek(1), re.ASCII):
        cursor.next()
    if not re.fullmatch(r"\d{4}", cursor.peek(), re.ASCII):
        return None
    return _checked(f"{day} {MONTHS[month - 1]}", int(cursor.next()), month, day)


def read_day_of_month(cursor: Cursor) -> tuple[int, int] | None:
    """Month and day of ``25 december``, ``25th of december``, ``december 25``."""
    month = read_month(cursor)
    day = cursor.attempt(_day_number)
    if month is None and day is not None:
        cursor.take("of")
        month = read_month(cursor)
    return None if month is None or day is None else (month, day)


def _day_number(cursor: Cursor) -> int | None:
    match = re.fullmatch(r"(\d{1,2})(st|nd|rd|th)?", cursor.peek(), re.ASCII)
    if match is None or not 1 <= int(match[1]) <= 31:
        return None
    cursor.next()
    return int(match[1])


def _part_of_length(cursor: Cursor) -> int | None:
    word = cursor.peek()
    if word and _JOINED.fullmatch(word):
        cursor.next()
        return sum(int(number) * _LENGTHS[unit] for number, unit in _PART.findall(word))
    number = read_number(cursor)
    if number is None or cursor.peek() not in _LENGTHS:
        return None
    return number * _LENGTHS[cursor.next()]


def _seconds(match: re.Match[str], half: str) -> int:
    hour, minute, second = int(match[1]), int(match[2] or 0), int(match[3] or 0)
    said = f"{match[0]}{half}" if half and not match[4] else match[0]
    if minute > 59 or second > 59 or hour > 23 or (half and not 1 <= hour <= 12):
        raise BadSchedule(f"{said!r} is no time of day: use 09:00 to 23:59, or 9am and 5pm")
    if not half and match[2] is None and 1 <= hour <= 12:
        raise ambiguous(f"at {said}", f"{hour % 12:02}:00", f"{hour % 12 + 12:02}:00")
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return hour * 3600 + minute * 60 + second


def _range(first: str, last: str) -> frozenset[int]:
    start, end = min(_DAYS[first]), min(_DAYS[last])
    return frozenset((start + step) % 7 for step in range((end - start) % 7 + 1))


def _checked(said: str, year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError as error:
        raise BadSchedule(f"{said!r} is no date: {error}") from error


def _slashed(word: str, match: re.Match[str]) -> BadSchedule:
    one, two = int(match[1]), int(match[2])
    readings = [
        f"{day} {MONTHS[month - 1]}"
        for day, month in ((one, two), (two, one))
        if month <= 12 and 1 <= day <= 31 and month
    ]
    if not readings:
        return BadSchedule(f"{word!r} is no date: write it as 2026-12-01")
    return BadSchedule(f"{word!r} is ambiguous ({' or '.join(readings)}): write it as 2026-12-01")
