"""Cron expressions: five fields, six with the second first, or a name such as ``@daily``.

croniter reads the fields; which days and times they make, and what happens when clocks change, is said here:

* Six fields begin with the second, as in Quartz, Spring and cronsim.
* Where both the day of the month and the weekday are restricted, either is enough, as in cron; where one of them begins
  with ``*`` (also ``*/2``), both must fit.
* ``L`` is the last day of the month, ``L5`` or ``5L`` the last Friday, ``5#2`` the second.
* Random (``R``) and hashed (``H``) values, nearest weekdays (``W``) and years are refused.
"""

from __future__ import annotations

import re
from typing import Any, Final

from streamq.errors import BadSchedule
from streamq.schedules.calendar import Calendar
from streamq.schedules.clock import Fields, simplest
from streamq.schedules.days import ALL_MONTHS, ALL_WEEKDAYS, DayRule, Days
from streamq.schedules.walltime import DstPolicy

__all__ = ["looks_like_cron", "parse_cron"]

_NAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELD: Final = re.compile(r"[\d*?][\d*?,/\-]*", re.ASCII)
_NUMBERS: Final = re.compile(r"[\d*,/\-]+", re.ASCII)
_DAY: Final = re.compile(r"[\d*?,/\-l]+", re.ASCII)
_MONTH: Final = re.compile(r"(?:[\d*,/\-]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)+", re.ASCII)
_WEEKDAY: Final = re.compile(r"(?:[\d*?,/\-#l]|sun|mon|tue|wed|thu|fri|sat)+", re.ASCII)
_PLACES: Final = (
    ("second", _NUMBERS),
    ("minute", _NUMBERS),
    ("hour", _NUMBERS),
    ("day of the month", _DAY),
    ("month", _MONTH),
    ("weekday", _WEEKDAY),
)
_LAST_OF: Final = re.compile(r"(?<![\w#])([0-7]|sun|mon|tue|wed|thu|fri|sat)l(?!\w)", re.ASCII)


def looks_like_cron(words: list[str]) -> bool:
    """Whether the words are meant as a cron expression: a name, or fields where a phrase has words."""
    fields = [word for word in words[:2] if _FIELD.fullmatch(word)]
    return words[0].startswith("@") or (len(words) > 1 and len(fields) == 2 and not _is_date(words[0]))


def parse_cron(words: list[str], zone: str, policy: DstPolicy) -> Calendar:
    """The timetable of an expression in its fields. Raises BadSchedule naming the field that cannot be used."""
    fields = _fields([word.lower() for word in words])
    expression = " ".join(fields)
    seconds = fields[0] if len(fields) == 6 else "0"
    expanded, nth = _expand(expression, len(fields) == 6)
    minutes, hours, days, months, weekdays = expanded[:5]
    times = Fields(
        _numbers(hours, 0, 23),
        _numbers(minutes, 0, 59),
        _numbers(expanded[5], 0, 59) if seconds != "0" else (0,),
    )
    rules = _day_rules(days, weekdays, nth, either=not (_any(fields[-3]) or _any(fields[-1])))
    month_set = ALL_MONTHS if months == ["*"] else frozenset(months)
    return Calendar(Days(rules, month_set), simplest(times), zone, policy, expression)


def _fields(words: list[str]) -> list[str]:
    if words[0].startswith("@"):
        if words[0] not in _NAMES:
            raise BadSchedule(f"{words[0]} is not known: use {', '.join(_NAMES)}, or five cron fields")
        if words[1:]:
            raise BadSchedule(f"not understood after {words[0]}: {' '.join(words[1:])}")
        return _NAMES[words[0]].split()
    if len(words) not in {5, 6}:
        raise BadSchedule(
            f"cron expression {' '.join(words)!r} has {len(words)} fields: use five (minute, hour, day of the month, "
            "month, weekday) or six (second first)"
        )
    for (name, allowed), word in zip(_PLACES[-len(words) :], words, strict=True):
        if not allowed.fullmatch(word):
            raise BadSchedule(f"cron field {word!r} cannot be used for the {name}")
    return [*words[:-1], _LAST_OF.sub(r"l\1", words[-1])]


def _expand(expression: str, with_seconds: bool) -> tuple[list[list[Any]], dict[int, set[Any]]]:
    from croniter import CroniterError, croniter  # 50 ms: only who uses cron pays

    try:
        expanded: Any = croniter.expand(expression, second_at_beginning=with_seconds)
    except (CroniterError, ValueError, KeyError, IndexError) as error:
        raise BadSchedule(f"cron expression {expression!r} cannot be used: {error}") from error
    return expanded[0], expanded[1]


def _numbers(expanded: list[Any], low: int, high: int) -> tuple[int, ...]:
    return tuple(range(low, high + 1)) if expanded == ["*"] else tuple(sorted(set(expanded)))


def _day_rules(
    days: list[Any], weekdays: list[Any], nth: dict[int, set[Any]], either: bool
) -> frozenset[DayRule]:
    of_month = [] if days == ["*"] else [-1 if day == "l" else int(day) for day in days]
    of_week = ALL_WEEKDAYS if weekdays == ["*"] else frozenset(_monday_first(day) for day in weekdays)
    counted = {
        DayRule(-1 if number == "l" else number, frozenset({_monday_first(day)}))
        for day, numbers in nth.items()
        for number in numbers
    }
    if counted and of_month and not either:
        raise BadSchedule("'#' and 'L' of weekdays do not go with days of the month that begin with '*'")
    if counted:
        return frozenset(counted | {DayRule(day) for day in of_month})
    if either:
        return frozenset({DayRule(day) for day in of_month or [0]} | {DayRule(0, of_week)})
    if not of_month:
        return frozenset({DayRule(0, of_week)})
    return frozenset(DayRule(day, on=of_week) for day in of_month)


def _monday_first(weekday: int) -> int:
    return (weekday - 1) % 7


def _any(field: str) -> bool:
    return field.startswith(("*", "?"))


def _is_date(word: str) -> bool:
    return re.fullmatch(r"\d{4}-\d{1,2}(-\d{1,2})?|\d{1,2}([/-])\d{1,2}\2\d{2,4}", word) is not None
