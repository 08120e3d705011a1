"""What a schedule does and why, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterator

from streamq.errors import ConfigError
from streamq.protocol import Flow
from streamq.protocol.inspect import job as look_at
from streamq.ticks.definition import Stored
from streamq.ticks.keeping import find
from streamq.ticks.planning import instant

__all__ = ["explain", "moment_words"]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def explain(anchor: str, now: int, queue: str, name: str) -> Flow[list[str]]:
    """Sentences: what it is, when it runs next or why it does not, what its last time came to. Raises ScheduleNotFound."""
    stored, clock = yield from find(anchor, now, queue, name)
    state, job = "", stored.fields.get("last_job")
    if job:
        found: dict[str, str] = yield look_at(anchor, now, job)
        state = found.get("state", "completed, and nothing of it was kept")
    return [*_definition(stored), *_future(stored, clock), *_past(stored, clock, state)]


def moment_words(ms: int, clock: int) -> str:
    """A time in UTC, and how far it is from now."""
    return f"{instant(ms):%Y-%m-%d %H:%M:%S} UTC ({_distance(ms - clock)})"


def _distance(ms: int) -> str:
    seconds = abs(ms) / 1000
    unit, name = next((unit for unit in _UNITS if seconds >= unit[0]), _UNITS[-1])
    length = f"{seconds / unit:.0f} {name}"
    return f"in {length}" if ms > 0 else f"{length} ago"


def _definition(stored: Stored) -> Iterator[str]:
    fields = stored.fields
    yield fields.get("words", fields["expression"])
    owner = f"the code of {fields['app']}" if fields["source"] == "code" else f"the {fields['source']}"
    yield f"runs {fields['task']}; it was put in by {owner}{': ' + fields['note'] if 'note' in fields else ''}"


def _future(stored: Stored, clock: int) -> Iterator[str]:
    fields, due, moment = stored.fields, stored.time("due_at"), stored.time("next_run_at")
    if "paused" in fields:
        note = fields.get("paused_note")
        yield f"paused since {moment_words(int(fields['paused_at']), clock)}{': ' + note if note else ''}"
    elif moment is None or due is None:
        yield f"over: it has no further time since {moment_words(stored.time('over_at') or clock, clock)}"
    elif due <= clock:
        yield f"due since {moment_words(due, clock)}: the next worker of queue {stored.queue} that takes ticks it"
    else:
        yield f"next at {moment_words(moment, clock)}"
        if due > moment:
            yield f"its jitter makes that {moment_words(due, clock)}"
        yield from _left_out(stored, clock)
    queued = stored.time("queued")
    if queued is not None:
        yield f"its run for {moment_words(queued, clock)} waits for the end of the one before"


def _left_out(stored: Stored, clock: int) -> Iterator[str]:
    """The time that would be next, if something stands in its way."""
    try:
        times = stored.times
    except ConfigError as error:
        yield str(error)
        return
    natural = times.timetable.after(instant(clock))
    obstacle = natural and times.window.obstacle(natural)
    if natural and obstacle:
        yield f"{natural:%Y-%m-%d %H:%M:%S} UTC is left out: {obstacle}"


def _past(stored: Stored, clock: int, state: str) -> Iterator[str]:
    fields, last = stored.fields, stored.time("last_run_at")
    if last is None:
        yield "it has made no job yet"
    else:
        yield f"last ran for {moment_words(last, clock)}: job {stored.queue}-{fields['last_job']}, {state}"
    outcome, _, why = fields.get("last_outcome", "").partition(" ")
    if outcome == "skipped":
        yield f"its latest time was skipped: {why}"
    elif outcome == "missed":
        yield "its latest times were missed: nobody ticked them in time"
    check = stored.time("check_at")
    if check is not None:
        yield f"its run must be complete by {moment_words(check, clock)}, else schedule.missed is told"
