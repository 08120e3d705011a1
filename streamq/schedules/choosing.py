"""Which days a phrase means: its rules, months, stride and start together, or what is missing or too much."""

from __future__ import annotations

from datetime import date, timedelta

from streamq.errors import BadSchedule
from streamq.schedules.clock import clock_words
from streamq.schedules.days import ALL_MONTHS, ALL_WEEKDAYS, EVERY_DAY, DayRule, Days, Stride, Unit, joined
from streamq.schedules.draft import Draft, Place

__all__ = ["chosen_days"]


def chosen_days(draft: Draft, place: Place) -> Days:
    """The days of the draft. Raises BadSchedule when it does not say them, or says them in two ways."""
    if draft.starting is not None and draft.starting[1] is not None:
        raise draft.refuse("starts at a time: it starts on a date, and its times are said with 'at'")
    since = draft.starting[0] if draft.starting else None
    count, unit = draft.stride or (1, "day")
    if count > 1 and since is None:
        raise _which_turn(draft, unit, count, place)
    months = _months(draft)
    rules, months = _by_unit(draft, unit, months, since)
    rules = joined(rules)
    if since is None:
        return Days(rules, months)
    return Days(rules, months, Stride(count, unit if count > 1 else "day", since))


def _months(draft: Draft) -> frozenset[int]:
    wanted = draft.rule_months
    if draft.months is not None:
        wanted = wanted - {ALL_MONTHS} | {draft.months}
    if len(wanted) > 1:
        raise draft.refuse("has days of different months: make a schedule for each")
    if draft.months is not None and not draft.rules and draft.stride is None:
        raise draft.refuse(
            "must say which days of the month, as in 'every day in june' or 'on the 1st of june'"
        )
    return next(iter(wanted), ALL_MONTHS)


def _by_unit(
    draft: Draft, unit: Unit, months: frozenset[int], since: date | None
) -> tuple[frozenset[DayRule], frozenset[int]]:
    if unit == "day":
        return _daily(draft), months
    if unit == "week":
        return _weekly(draft, months, since), months
    if unit == "year" and months == ALL_MONTHS:
        if draft.rules:
            raise draft.refuse("must say in which month of the year")
        months = frozenset({since.month if since else 1})
    return _monthly(draft, since), months


def _daily(draft: Draft) -> frozenset[DayRule]:
    if draft.stride is not None:
        if draft.rules:
            raise draft.refuse(f"says both 'every {draft.stride[0]} days' and which days: it can be only one")
        return EVERY_DAY
    if draft.rules or draft.step is not None:
        return frozenset(draft.rules) or EVERY_DAY
    if not draft.times:
        raise draft.refuse("says no days")
    at = clock_words(draft.times[0])
    raise draft.refuse(f"is ambiguous: say 'every day at {at}', or a date, or 'tomorrow at {at}'")


def _weekly(draft: Draft, months: frozenset[int], since: date | None) -> frozenset[DayRule]:
    if months != ALL_MONTHS or any(rule.nth for rule in draft.rules):
        raise draft.refuse("counts weeks, which go with weekdays only, as in 'every week on monday'")
    if not draft.rules and since is None:
        raise draft.refuse("must say on which day of the week, as in 'every week on monday'")
    return frozenset(draft.rules) if since is None else frozenset(draft.rules or {_weekday_of(since)})


def _monthly(draft: Draft, since: date | None) -> frozenset[DayRule]:
    if any(not rule.nth for rule in draft.rules):
        raise draft.refuse("must say which of those days, as in 'on the first monday of the month'")
    return frozenset(draft.rules or {DayRule(since.day if since else 1)})


def _weekday_of(day: date) -> DayRule:
    return DayRule(0, frozenset({day.weekday()}))


def _which_turn(draft: Draft, unit: Unit, count: int, place: Place) -> BadSchedule:
    """Nobody can know which of the weeks, months or days are meant: offers the next ones to start from."""
    why = "is ambiguous, because it counts from a day that is not said: say"
    if place.now is None or unit in {"month", "year"}:
        return draft.refuse(f"{why} '{draft.text} starting 2026-12-04', with the date you mean")
    wanted = frozenset[int]().union(*(rule.among for rule in draft.rules)) or ALL_WEEKDAYS
    day = place.today + timedelta(days=1)
    while day.weekday() not in wanted:
        day += timedelta(days=1)
    length = timedelta(days=1 if unit == "day" else 7)
    turns = [day + turn * length for turn in range(min(count, 3))]
    return draft.refuse(f"{why} " + " or ".join(f"'{draft.text} starting {turn}'" for turn in turns))
