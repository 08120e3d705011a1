"""Days, policies and zones in words: the very words that ``phrases`` reads, so that what is said can be said back."""

from __future__ import annotations

from typing import Final

from streamq.schedules.clock import listing
from streamq.schedules.days import ALL_MONTHS, ALL_WEEKDAYS, DayRule, Days, Stride
from streamq.schedules.walltime import Fold, Gap

__all__ = [
    "FOLD_WORDS",
    "GAP_WORDS",
    "MONTHS",
    "NAMED_ORDINALS",
    "WALL_CLOCK_WORDS",
    "WEEKDAYS",
    "WEEKEND",
    "WORKDAYS",
    "days_words",
]

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
NAMED_ORDINALS: Final = {"last": -1, "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
WORKDAYS: Final = frozenset(range(5))
WEEKEND: Final = frozenset({5, 6})

GAP_WORDS: Final[dict[Gap, str]] = {
    "shift": "a time that the clock skips runs just after the change",
    "skip": "a time that the clock skips does not run",
}
FOLD_WORDS: Final[dict[Fold, str]] = {
    "first": "one that it repeats runs the first time",
    "last": "one that it repeats runs the last time",
    "both": "one that it repeats runs both times",
}
WALL_CLOCK_WORDS: Final = "by the clock on the wall through its changes"

_NAMES_OF_ORDINALS: Final = {number: name for name, number in NAMED_ORDINALS.items()}


def days_words(days: Days, after_times: bool = False) -> str:
    """The days as a phrase; ``after_times`` when it follows its times ("every 15 minutes … on weekdays")."""
    stride = days.stride
    each = [rule for rule in days.rules if not rule.nth]
    counted = [rule for rule in days.rules if rule.nth]
    parts = [_each_words(rule, stride, after_times) for rule in each]
    if not parts and stride is not None and stride.count > 1:
        parts = [f"every {stride.count} {stride.unit}s"]
    parts += [" and ".join(_counted_words(counted, days.months))] if counted else []
    joined = (" and " if each else " ").join(parts)
    if each and days.months != ALL_MONTHS:
        joined += f" in {listing([MONTHS[month - 1] for month in sorted(days.months)])}"
    return joined


def _each_words(rule: DayRule, stride: Stride | None, after_times: bool) -> str:
    if stride is not None and stride.count > 1:
        every = f"every {stride.count} {stride.unit}s"
        return every if rule.among == ALL_WEEKDAYS else f"{every} on {_weekday_names(rule.among)}"
    if after_times and rule.among != ALL_WEEKDAYS:
        return f"on {_weekday_names(rule.among, 's')}"
    return f"every {_weekday_names(rule.among)}"


def _counted_words(rules: list[DayRule], months: frozenset[int]) -> list[str]:
    of = "the month" if months == ALL_MONTHS else listing([MONTHS[month - 1] for month in sorted(months)])
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for rule in rules:
        groups.setdefault((tuple(sorted(rule.among)), tuple(sorted(rule.on))), []).append(rule.nth)
    return [
        f"on the {_ordinals(sorted(numbers, key=_from_the_end), frozenset(among))} of {of}{_only(frozenset(on))}"
        for (among, on), numbers in sorted(groups.items())
    ]


def _ordinals(numbers: list[int], among: frozenset[int]) -> str:
    if among == ALL_WEEKDAYS:
        return listing([_number_words(number) for number in numbers]) + (" day" if numbers[-1] < 0 else "")
    names = [_NAMES_OF_ORDINALS.get(number) or _number_words(number) for number in numbers]
    return f"{listing(names)} {_weekday_names(among)}"


def _number_words(number: int) -> str:
    if number == -1:
        return "last"
    if number < 0:
        return f"{_number_words(-number)} to last"
    ending = "th" if number in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _from_the_end(number: int) -> tuple[bool, int]:
    return number < 0, number


def _weekday_names(weekdays: frozenset[int], plural: str = "") -> str:
    if weekdays == ALL_WEEKDAYS:
        return f"day{plural}"
    if weekdays == WORKDAYS:
        return f"weekday{plural}"
    return listing([WEEKDAYS[weekday] + plural for weekday in sorted(weekdays)])


def _only(weekdays: frozenset[int]) -> str:
    return (
        ""
        if weekdays == ALL_WEEKDAYS
        else f" if it is a {listing([WEEKDAYS[day] for day in sorted(weekdays)], 'or')}"
    )
