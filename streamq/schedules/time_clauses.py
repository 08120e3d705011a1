"""The clauses of phrases that say when: ``at …``, ``between … and …``, ``starting …``, a date, ``tomorrow``, ``next monday``.

A clause reads its words at the cursor, writes what they say into the draft, and returns what it is about, or None
(with nothing read) when the words are not its own.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from streamq.errors import BadSchedule
from streamq.schedules.cursor import Cursor, ambiguous
from streamq.schedules.draft import Draft, Place
from streamq.schedules.lexicon import read_date, read_number, read_time, read_weekdays
from streamq.schedules.wording import WEEKDAYS

__all__ = ["at", "between", "one_date", "starting"]

_OFFSET: Final = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)
_CLEAR: Final = re.compile(
    r"\d{1,2}(:\d\d){1,2}|\d{1,2}(:\d\d){0,2}(am|pm|a\.m\.|p\.m\.)|noon|midday|midnight", re.ASCII
)
_HOURS: Final = re.compile(r"([\d:]+(?:am|pm)?)-([\d:]+(?:am|pm)?)", re.ASCII)
_HALVES: Final = frozenset({"am", "pm", "a.m.", "p.m."})
_DAY: Final = timedelta(days=1)


def at(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``at 9am``, ``at 9:00, 13:00 and 17:30``, ``noon``; ``at :15`` and ``at minute 15`` beside ``every hour``."""
    said = bool(cursor.take("at"))
    if said and (past := cursor.attempt(_past)):
        draft.past.extend(past)
        return "times"
    times = cursor.several(read_time if said else _clear_time)
    if not times:
        if said:
            cursor.missed()
        return "times" if said else None
    draft.times.extend(times)
    draft.offset = _offset(cursor) or draft.offset
    return "times"


def between(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``between 9am and 5pm``, ``from 9:00 to 17:00``, ``9am-5pm``; both ends are included."""
    joined = _HOURS.fullmatch(cursor.peek())
    if joined is not None:
        cursor.next()
        return _between(draft, *(_whole_time(text) for text in joined.groups()))
    word = cursor.take("between", "from")
    if not word:
        return None
    first = cursor.attempt(read_time)
    if first is None or not cursor.take(*(("and",) if word == "between" else ("to", "until", "till"))):
        cursor.missed()
        return "hours"
    last = cursor.attempt(read_time)
    if last is None:
        cursor.missed()
        return "hours"
    return _between(draft, first, last)


def one_date(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``2026-12-01``, ``on tuesday, 1 december 2026``, ``today``, ``tomorrow``, ``next monday``."""
    found = cursor.attempt(_absolute_date) or _relative_date(cursor, place)
    if found is None:
        return None
    if draft.date is not None:
        raise draft.refuse("says two dates: make a schedule for each")
    draft.date = found
    return "date"


def starting(cursor: Cursor, draft: Draft, place: Place) -> str | None:
    """``starting 2026-12-01``, ``counted from 2026-12-01 09:00``."""
    if not (cursor.take("starting", "beginning") or cursor.take_all("counted from")):
        return None
    day = cursor.attempt(_absolute_date)
    if day is None:
        cursor.missed()
        return "start"
    if draft.starting is not None:
        raise draft.refuse("says its start twice")
    cursor.take("at")
    draft.starting = (day, cursor.attempt(_clear_time), _offset(cursor))
    return "start"


def _absolute_date(cursor: Cursor) -> date | None:
    cursor.take("once")
    cursor.take("on")
    weekday = read_weekdays(cursor)
    cursor.take(",")
    found = read_date(cursor)
    if found is not None and weekday is not None and weekday[0] != frozenset({found.weekday()}):
        raise BadSchedule(f"{found} is a {WEEKDAYS[found.weekday()]}")
    return found


def _relative_date(cursor: Cursor, place: Place) -> date | None:
    if cursor.peek() in {"today", "tomorrow"}:
        return place.today + (_DAY if cursor.next() == "tomorrow" else timedelta())
    if cursor.peek() != "next" or cursor.peek(1) not in WEEKDAYS:
        return None
    cursor.next()
    return _next_weekday(cursor.next(), place.today)


def _next_weekday(name: str, today: date) -> date:
    """The coming one, when it also is that of the next week; otherwise people mean one or the other."""
    coming = today + _DAY
    while WEEKDAYS[coming.weekday()] != name:
        coming += _DAY
    next_week = today + (7 - today.weekday() + WEEKDAYS.index(name)) * _DAY
    if coming != next_week:
        raise ambiguous(f"next {name}", str(coming), str(next_week))
    return coming


def _between(draft: Draft, first: int, last: int) -> str:
    if draft.between is not None:
        raise draft.refuse("says two ranges of hours: make a schedule for each")
    draft.between = (first, last)
    return "hours"


def _past(cursor: Cursor) -> list[int] | None:
    """``:15``, ``minute 15`` or ``minutes 0 and 30``."""
    found = cursor.several(read_number if cursor.take("minute", "minutes") else _colon_minute)
    if any(minute > 59 for minute in found):
        raise BadSchedule(f"minute {max(found)} is in no hour: use 0 to 59")
    return found or None


def _colon_minute(cursor: Cursor) -> int | None:
    minute = re.fullmatch(r":(\d\d)", cursor.peek(), re.ASCII)
    if minute is not None:
        cursor.next()
    return int(minute[1]) if minute else None


def _clear_time(cursor: Cursor) -> int | None:
    """A time that looks like one by itself, without ``at`` before it."""
    if _CLEAR.fullmatch(cursor.peek()) or (cursor.peek().isdigit() and cursor.peek(1) in _HALVES):
        return read_time(cursor)
    return None


def _whole_time(text: str) -> int:
    found = read_time(Cursor(text))
    if found is None:
        raise BadSchedule(f"{text!r} is no time of day: use 09:00 to 23:59, or 9am and 5pm")
    return found


def _offset(cursor: Cursor) -> timedelta | None:
    if cursor.take("z"):
        return timedelta()
    match = _OFFSET.fullmatch(cursor.peek())
    if match is None:
        return None
    cursor.next()
    length = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return -length if match[1] == "-" else length
