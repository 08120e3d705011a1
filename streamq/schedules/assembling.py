"""The clauses of a phrase become a timetable, if all of them fit together.

Nothing is guessed: what contradicts itself, or leaves open which day is meant, is refused with what could be said.
Only two things are understood without being said: a day without a time begins at 00:00, and ``every month`` and
``every year`` are their first day, as in cron's ``@monthly`` and ``@yearly``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from streamq.schedules.calendar import Calendar
from streamq.schedules.choosing import chosen_days
from streamq.schedules.clock import DAY, Fields, Listed, Spread, Times, clock_words, length_words
from streamq.schedules.draft import Draft, Place
from streamq.schedules.timetable import Interval, Once, Timetable
from streamq.schedules.walltime import moments_of

__all__ = ["assemble"]

_LONGEST: Final = 366 * DAY
_LONGEST_IN_DAY: Final = DAY // 2
_OF_INTERVALS: Final = frozenset({"step", "starting", "times", "offset"})
_LEAP_YEAR: Final = date(2000, 1, 1)


def assemble(draft: Draft, place: Place) -> Timetable:
    """The timetable of all clauses together. Raises BadSchedule when they do not fit or something is missing."""
    if draft.delay is not None:
        _only(draft, "'in …', counted from now,", {"delay"})
        return Once(place.present.astimezone(UTC) + timedelta(seconds=draft.delay), place.zone)
    if draft.date is not None:
        return _once(draft, draft.date, place)
    if draft.step is not None and draft.said() <= _OF_INTERVALS:
        return _interval(draft, draft.step, place)
    if draft.between is not None and draft.step is None:
        raise draft.refuse("must say how often between those times, as in 'every 15 minutes'")
    if draft.offset is not None:
        raise draft.refuse("has an offset from UTC, which goes with one date only: name a zone")
    calendar = Calendar(chosen_days(draft, place), _times(draft), place.zone, place.policy)
    if calendar.days.upcoming(_LEAP_YEAR) is None:
        raise draft.refuse("never comes: there is no such day")
    return calendar


def _once(draft: Draft, day: date, place: Place) -> Once:
    _only(draft, "one date", {"date", "offset", "times"})
    if len(draft.times) != 1:
        raise draft.refuse(f"needs one time of day, as in '{day} at 09:00'")
    return Once(_moment(draft, day, draft.times[0], draft.offset, place), place.zone)


def _interval(draft: Draft, every: int, place: Place) -> Interval:
    _only(draft, "an interval", {"step", "starting"})
    if not 1 <= every <= _LONGEST:
        raise draft.refuse("is out of range: an interval is from 1 second to 366 days")
    if draft.starting is None:
        if place.named and place.zone != "UTC":
            raise draft.refuse(
                f"is an interval of elapsed time, which has no zone: leave {place.zone} out, or say "
                f"'every {length_words(every)} every day {place.zone}' to follow the clock there"
            )
        return Interval(every)
    day, second, offset = draft.starting
    if second is None:
        raise draft.refuse(f"must say at what time it starts, as in 'starting {day} 09:00'")
    return Interval(every, _moment(draft, day, second, offset, place))


def _times(draft: Draft) -> Times:
    if draft.past:
        if draft.step != 3600 or draft.times or draft.between:
            raise draft.refuse("says minutes past the hour: they go with 'every hour' alone")
        return Fields(minutes=tuple(sorted(set(draft.past))))
    if draft.step is not None:
        return _spread(draft, draft.step)
    return Listed(tuple(sorted(set(draft.times))) or (0,))


def _spread(draft: Draft, step: int) -> Spread:
    if draft.times:
        raise draft.refuse("says both how often and at what time: it can be only one")
    if not 1 <= step <= _LONGEST_IN_DAY:
        raise draft.refuse("is out of range: within a day, a step is from 1 second to 12 hours")
    first, last = draft.between or (0, DAY - 1)
    if last <= first:
        raise draft.refuse(
            f"ends at {clock_words(last)}, which is not after {clock_words(first)}: end at 23:59, "
            "and make a second one from 00:00"
        )
    return Spread(step, first, last)


def _moment(draft: Draft, day: date, second: int, offset: timedelta | None, place: Place) -> datetime:
    wall = datetime.combine(day, time()) + timedelta(seconds=second)
    if offset is not None:
        return (wall - offset).replace(tzinfo=UTC)
    found = moments_of(wall, ZoneInfo(place.zone), place.policy)
    if len(found) != 1:
        trouble = "comes twice" if found else "does not exist"
        raise draft.refuse(
            f"{trouble}: the clock changes in {place.zone}. Add the offset, as in '{day} {clock_words(second)} +01:00', "
            "or choose another policy"
        )
    return found[0]


def _only(draft: Draft, what: str, allowed: set[str]) -> None:
    if draft.said() - allowed:
        raise draft.refuse(f"joins {what} with something else: make a schedule of each")
