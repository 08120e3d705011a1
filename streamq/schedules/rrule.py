"""Recurrence rules of iCalendar (RFC 5545), as far as they say what a phrase can say; others are refused by name.

``RRULE:FREQ=MONTHLY;BYDAY=1MO;BYHOUR=12;BYMINUTE=0`` becomes "on the first monday of the month at 12:00". What a rule
leaves out comes from its DTSTART, if there is one (``DTSTART;TZID=Europe/Rome:20261201T090000 RRULE:…``), and with one
nothing is due before it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from itertools import product
from typing import Final

from streamq.errors import BadSchedule
from streamq.schedules.calendar import Calendar
from streamq.schedules.clock import Listed
from streamq.schedules.days import ALL_MONTHS, DayRule, Days, Stride, Unit, joined
from streamq.schedules.draft import Place
from streamq.schedules.zones import known_zone

__all__ = ["looks_like_rrule", "parse_rrule"]

_FREQUENCIES: Final[dict[str, Unit]] = {
    "DAILY": "day",
    "WEEKLY": "week",
    "MONTHLY": "month",
    "YEARLY": "year",
}
_WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_NUMBERS: Final = {
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSECOND": (0, 59),
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "INTERVAL": (1, 1000),
}
_KNOWN: Final = {"FREQ", "BYDAY", "WKST", *_NUMBERS}
_START: Final = re.compile(r"DTSTART(?:;TZID=([^:]+))?:(\d{8}T\d{6})(Z?)", re.ASCII)
_BY_DAY: Final = re.compile(r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_MOST_TIMES: Final = 48


def looks_like_rrule(words: list[str]) -> bool:
    """Whether the words are meant as a recurrence rule."""
    return any("FREQ=" in word.upper() for word in words)


def parse_rrule(words: list[str], place: Place) -> Calendar:
    """The timetable of a rule. Raises BadSchedule naming the part that cannot be used."""
    start: datetime | None = None
    if words[0].upper().startswith("DTSTART"):
        start, place = _start(words[0], place)
        words = words[1:]
    if len(words) != 1:
        raise BadSchedule(f"not understood beside the RRULE: {' '.join(words[1:]) or 'nothing stands there'}")
    parts = _parts(words[0].upper().removeprefix("RRULE:"))
    unit = _FREQUENCIES[parts["FREQ"]]
    months = frozenset(_numbers(parts, "BYMONTH")) or _months_of(unit, start)
    days = Days(_rules(parts, unit, start), months, _stride(parts, unit, start))
    return Calendar(days, _times(parts, start), place.zone, place.policy)


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.rstrip(";").split(";"):
        name, _, value = part.partition("=")
        if name in {"COUNT", "UNTIL"}:
            raise BadSchedule(
                f"RRULE part {part!r} cannot be used: the end of a schedule is given apart from it"
            )
        if name not in _KNOWN or not value or name in parts:
            raise BadSchedule(
                f"RRULE part {part!r} cannot be used: use each once of {', '.join(sorted(_KNOWN))}"
            )
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        raise BadSchedule(
            f"FREQ={parts.get('FREQ')} cannot be used: say 'every 15 minutes', or use {', '.join(_FREQUENCIES)}"
        )
    if parts.get("WKST", "MO") != "MO":
        raise BadSchedule("RRULE part WKST cannot be used: weeks begin on Monday")
    return parts


def _start(word: str, place: Place) -> tuple[datetime, Place]:
    match = _START.fullmatch(word)
    if match is None:
        raise BadSchedule(f"{word!r} cannot be used: write it as DTSTART;TZID=Europe/Rome:20261201T090000")
    zone = "UTC" if match[3] else known_zone(match[1]) if match[1] else place.zone
    if place.named and zone != place.zone:
        raise BadSchedule(f"{word!r} is in {zone}, and the text names {place.zone}: leave one out")
    try:
        return datetime.strptime(match[2], "%Y%m%dT%H%M%S"), replace(place, zone=zone)  # noqa: DTZ007 - a wall time
    except ValueError as error:
        raise BadSchedule(f"{word!r} is no date and time: {error}") from error


def _numbers(parts: dict[str, str], name: str) -> list[int]:
    low, high = _NUMBERS[name]
    texts = parts[name].split(",") if name in parts else []
    if not all(re.fullmatch(r"[+-]?\d{1,4}", text, re.ASCII) and low <= int(text) <= high for text in texts):
        raise BadSchedule(
            f"RRULE part {name}={parts[name]} cannot be used: its numbers are from {low} to {high}"
        )
    return sorted({int(text) for text in texts})


def _rules(parts: dict[str, str], unit: Unit, start: datetime | None) -> frozenset[DayRule]:
    by_day = [_day_rule(text) for text in parts["BYDAY"].split(",")] if "BYDAY" in parts else []
    by_month_day = [DayRule(day) for day in _numbers(parts, "BYMONTHDAY") if day]
    counted = any(rule.nth for rule in by_day)
    if by_day and by_month_day:
        raise BadSchedule("RRULE with both BYDAY and BYMONTHDAY cannot be used: choose one of them")
    if (counted and unit in {"day", "week"}) or (by_month_day and unit == "week"):
        raise BadSchedule("RRULE with numbered days needs FREQ=MONTHLY, or YEARLY with BYMONTH")
    if by_day and unit == "year" and "BYMONTH" not in parts:
        raise BadSchedule("RRULE with FREQ=YEARLY and BYDAY needs BYMONTH")
    if (by_day or by_month_day) and unit == "day" and _interval(parts) > 1:
        raise BadSchedule("RRULE with FREQ=DAILY and an INTERVAL cannot choose days")
    if by_day and not counted and _interval(parts) > 1 and (unit in {"month", "year"} or "BYMONTH" in parts):
        raise BadSchedule(
            "RRULE with an INTERVAL and every one of some weekdays needs FREQ=WEEKLY without BYMONTH"
        )
    if by_day or by_month_day:
        return joined(frozenset([*by_day, *by_month_day]))
    return frozenset({_from_start(unit, start)})


def _day_rule(text: str) -> DayRule:
    match = _BY_DAY.fullmatch(text)
    if match is None:
        raise BadSchedule(f"RRULE part BYDAY has {text!r}: write weekdays as MO, 1MO or -1FR")
    return DayRule(int(match[1] or 0), frozenset({_WEEKDAYS.index(match[2])}))


def _from_start(unit: Unit, start: datetime | None) -> DayRule:
    if unit == "day":
        return DayRule()
    if start is None:
        raise BadSchedule("RRULE does not say its days: add BYDAY or BYMONTHDAY, or a DTSTART")
    return DayRule(0, frozenset({start.weekday()})) if unit == "week" else DayRule(start.day)


def _months_of(unit: Unit, start: datetime | None) -> frozenset[int]:
    if unit != "year":
        return ALL_MONTHS
    if start is None:
        raise BadSchedule("RRULE with FREQ=YEARLY does not say its months: add BYMONTH, or a DTSTART")
    return frozenset({start.month})


def _stride(parts: dict[str, str], unit: Unit, start: datetime | None) -> Stride | None:
    count = _interval(parts)
    if start is None:
        if count > 1:
            raise BadSchedule(
                f"RRULE with INTERVAL={count} counts from a day that is not said: add a DTSTART"
            )
        return None
    return Stride(count, unit if count > 1 else "day", start.date())


def _interval(parts: dict[str, str]) -> int:
    return max(_numbers(parts, "INTERVAL"), default=1)


def _times(parts: dict[str, str], start: datetime | None) -> Listed:
    if "BYHOUR" not in parts and start is None:
        raise BadSchedule("RRULE does not say its time: add BYHOUR, or a DTSTART")
    begun = (start.hour, start.minute, start.second) if start else (0, 0, 0)
    names = ("BYHOUR", "BYMINUTE", "BYSECOND")
    hours, minutes, seconds = (_numbers(parts, name) or [own] for name, own in zip(names, begun, strict=True))
    times = tuple(
        hour * 3600 + minute * 60 + second for hour, minute, second in product(hours, minutes, seconds)
    )
    if len(times) > _MOST_TIMES:
        raise BadSchedule(
            f"RRULE has {len(times)} times a day, of {_MOST_TIMES} at most: say 'every 15 minutes …'"
        )
    if start is not None and times[0] < start.hour * 3600 + start.minute * 60 + start.second:
        raise BadSchedule("RRULE has times before that of its DTSTART: let it start at the first of them")
    return Listed(times)
