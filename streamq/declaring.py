"""Schedules as people write them: an expression, a call and options, checked where they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypedDict

from streamq.durations import Duration
from streamq.errors import ConfigError
from streamq.options import moment
from streamq.protocol.schedules import MAX_DECLARED
from streamq.schedules import Blackout, Fold, Gap, Timetable, Window, parse
from streamq.signature import nearest
from streamq.ticks.definition import Definition
from streamq.ticks.planning import Times, instant
from streamq.ticks.policies import Missed, Overlap, Policies
from streamq.ticks.release import Release
from streamq.wire.codec import canonical

if TYPE_CHECKING:
    from streamq.task import Call

__all__ = ["Declared", "ScheduleWords", "declared", "release_of", "times_of"]

_READ_AT = (
    instant(0),
    instant(0) + timedelta(days=40, hours=7, seconds=1),
)  # what is read at both alike depends on no clock


_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class ScheduleWords(TypedDict, total=False):
    """Options of a schedule. Durations as ``Duration``; see ``Policies`` and docs/how-to/schedules.md."""

    name: str
    zone: str | None
    gap: Gap
    fold: Fold
    missed: Missed
    most: int | None
    lateness: Duration | None
    overlap: Overlap
    jitter: Duration
    start: datetime | None
    end: datetime | None
    blackouts: Sequence[str | Blackout]
    grace: Duration | None
    note: str


@dataclass(frozen=True, slots=True)
class Declared:
    """A schedule with its call, checked and not yet sent."""

    times: Times
    call: Call[Any]
    note: str

    def definition(self, app: str | None) -> Definition:
        """As it is sent: the call is packed. Raises WrongCall and PayloadTooLarge."""
        return Definition(self.times, self.call.new_job(), self.note, app)

    @property
    def content(self) -> bytes:
        """The call's arguments and options, the same bytes whenever they are the same."""
        carried = self.call.task.sending.carried or {}
        return canonical((self.call.args, self.call.kwargs, carried))


def declared(when: str, call: Call[Any], now: datetime | None, words: Mapping[str, Any]) -> Declared:
    """A schedule from what people write. ``now``: what "tomorrow" is seen from; None refuses such words.

    Raises BadSchedule and ConfigError.
    """
    given = _known(words)
    name = _checked_name(given.pop("name", None) or call.task.name)
    options = call.task.sending.call_options
    if options.at is not None or isinstance(options.deadline, datetime):
        raise ConfigError(f"schedule {name}: its call has a time of its own (at=, deadline=); give durations")
    note = given.pop("note", "")
    return Declared(times_of(name, when, now, given), call, note)


def times_of(name: str, when: str, now: datetime | None, words: Mapping[str, Any]) -> Times:
    """The times of a schedule; ``words`` are the options that concern them. Raises BadSchedule and ConfigError."""
    given = _known(words)
    timetable = _timetable(
        when, now, {key: given.pop(key) for key in ("zone", "gap", "fold") if key in given}
    )
    zone = getattr(timetable, "zone", "UTC")  # an interval has none
    dark = tuple(_blackout(one, zone) for one in given.pop("blackouts", ()))
    window = _window(given.pop("start", None), given.pop("end", None), dark)
    return Times(name, timetable, window, Policies.of(**given))


def release_of(app: str, sealing_id: str | None, schedules: Sequence[Declared]) -> Release:
    """What the code declares in one queue. A sealed payload differs each time: so the calls are compared, and their key."""
    if len(schedules) > MAX_DECLARED:
        raise ConfigError(
            f"the App declares {len(schedules):,} schedules in a queue; the most is {MAX_DECLARED:,}"
        )
    if not schedules:
        return Release.empty(app)
    digest = blake2b(f"{sealing_id}".encode(), digest_size=16)
    for one in sorted(schedules, key=lambda one: one.times.name):
        fields = {name: value for name, value in one.definition(app).fields.items() if name not in _NO_MATTER}
        digest.update(f"{one.times.name} {sorted(fields.items())} ".encode() + one.content)
    return Release(
        app,
        digest.hexdigest(),
        [one.times.name for one in schedules],
        lambda: [one.definition(app) for one in schedules],
    )


_NO_MATTER = frozenset({"body", "words"})


def _known(words: Mapping[str, Any]) -> dict[str, Any]:
    known = ScheduleWords.__annotations__
    for name in words:
        if name not in known:
            near = nearest(name, list(known))
            hint = f"did you mean {near}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(f"{name!r} is no option of a schedule; {hint}")
    return dict(words)


def _timetable(when: str, now: datetime | None, words: dict[str, Any]) -> Timetable:
    """What is read at every start of a program must mean the same each time."""
    if now is not None:
        return parse(when, now=now, **words)
    first, second = (parse(when, now=moment, **words) for moment in _READ_AT)
    if first.written != second.written:
        raise ConfigError(
            f"{when!r} means another time at every start of the program: give a date, or put it in once with "
            "app.schedules.put(…)"
        )
    return first


def _window(start: datetime | None, end: datetime | None, blackouts: tuple[Blackout, ...]) -> Window:
    first = None if start is None else moment("start", start)
    last = None if end is None else moment("end", end)
    if first is not None and last is not None and first > last:
        raise ConfigError(f"end={last.isoformat()} is before start={first.isoformat()}")
    return Window(first, last, blackouts)


def _blackout(given: str | Blackout, zone: str) -> Blackout:
    return Blackout.read(given, zone) if isinstance(given, str) else given


def _checked_name(name: object) -> str:
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    raise ConfigError(f"name={name!r} cannot name a schedule: use 1 to 128 letters, digits and _ . : -")
