"""Schedules: keeping them, the ticks that make their jobs, and whose code declares them. Times are milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from streamq.protocol.call import Argument, Call, Flow
from streamq.protocol.enqueue import NewJob
from streamq.protocol.replies import flag, integer, parts, text, twos

__all__ = [
    "MAX_DECLARED",
    "NO_DECLARATIONS",
    "Fields",
    "Next",
    "Offered",
    "Outcome",
    "Schedules",
    "Source",
    "all_schedules",
    "checked",
    "fire",
    "keep",
    "list_schedules",
    "offer",
    "pause",
    "put",
    "read",
    "remove",
    "resume",
    "tick",
]

MAX_DECLARED = 1000  # schedules that the code of one app may declare in a queue
NO_DECLARATIONS = "none"  # their digest
_NONE = "-"
Source = Literal["code", "cli", "api"]
Fields = dict[str, bytes]  # of a schedule, by name; its body is bytes
Next = (
    tuple[int, int] | None
)  # the next time at which it fires, and when that is due (jitter); None: it is over


class Schedules(NamedTuple):
    """The server's clock, schedules by name (those that are unknown are not in it), and where the next page starts."""

    now: int
    found: dict[str, Fields]
    next: str = ""


class Outcome(NamedTuple):
    """What became of a time: ``added`` (``said`` is the job), ``skipped`` or ``queued`` (and why), ``before`` (it had
    its job), ``missed`` (nothing was to run), or ``moved`` (somebody else was here first)."""

    outcome: str
    said: str


class Offered(NamedTuple):
    """``current``, ``older`` (newer declarations hold), ``apply`` (put yours, then keep them), or ``nothing`` (there were
    none and are none); and the server's clock."""

    verdict: str
    now: int


def put(
    anchor: str, now: int, name: str, source: Source, following: Next, fields: Mapping[str, Argument]
) -> Call[bool]:
    """Keep a schedule; True when it is new. One whose times stay the same keeps the one that is due.

    Raises WrongState when the name belongs to somebody else.
    """
    flat = [part for pair in fields.items() for part in pair]
    return Call("schedule_put", anchor, (now, name, source, *_next(following), len(flat), *flat), flag)


def pause(anchor: str, now: int, name: str, note: str = "") -> Call[bool]:
    """It makes no jobs until it is resumed. Raises ScheduleNotFound for an unknown one."""
    return Call("schedule_pause", anchor, (now, name, note), flag)


def resume(anchor: str, now: int, name: str, following: Next) -> Call[bool]:
    """It goes on from its next time on. Raises ScheduleNotFound for an unknown one."""
    return Call("schedule_resume", anchor, (now, name, *_next(following)), flag)


def remove(anchor: str, now: int, name: str, *, force: bool = False) -> Call[bool]:
    """It goes away. Raises WrongState for one that code declares, unless forced, and ScheduleNotFound for an unknown one."""
    return Call("schedule_remove", anchor, (now, name, int(force)), flag)


def read(anchor: str, now: int, names: Iterable[str]) -> Call[Schedules]:
    """All fields of at most 100 schedules."""
    return Call("schedule_read", anchor, (now, *names), _read, readonly=True)


def list_schedules(anchor: str, now: int, start: str = "-", count: int = 100) -> Call[Schedules]:
    """A page of the schedules, the next due one first, without their payloads (``count`` at most 500)."""
    return Call("schedule_list", anchor, (now, start, count), _listed, readonly=True)


def all_schedules(anchor: str, now: int) -> Flow[dict[str, Fields]]:
    """All schedules of a shard, in pages."""
    found: dict[str, Fields] = {}
    start = "-"
    while start:
        page = yield list_schedules(anchor, now, start, 500)
        found |= page.found
        start = page.next
    return found


def tick(
    anchor: str,
    now: int,
    name: str,
    fields: Fields,
    following: Next,
    missed: int | None,
    due: int | None,
    job: NewJob,
) -> Call[Outcome]:
    """Run the job for the time ``due``, and move on to ``following``, if the schedule still is as ``fields`` say.

    ``due`` None: for no time; ``missed``: the first time that is passed over. However often this is called, a time has
    one job.
    """
    expected = fields.get("next_run_at", _NONE)
    moments = (_NONE if missed is None else missed, _NONE if due is None else due)
    args = (now, name, fields["revision"], expected, *_next(following), *moments, *_job(job))
    return Call("schedule_tick", anchor, args, _outcome)


def fire(anchor: str, now: int, name: str, moment: int, job: NewJob) -> Call[Outcome]:
    """Run the job for a time that need not be one of the schedule's; once for each. Raises ScheduleNotFound."""
    return Call("schedule_fire", anchor, (now, name, moment, *_job(job)), _outcome)


def checked(anchor: str, now: int, name: str, check_at: int) -> Call[bool]:
    """The run that had to be complete by ``check_at`` was looked at; False when somebody else had done it."""
    return Call("schedule_checked", anchor, (now, name, check_at), flag)


def offer(anchor: str, now: int, app: str, digest: str) -> Call[Offered]:
    """A worker with these declarations of an app is here: do they hold?"""
    return Call("schedule_offer", anchor, (now, app, digest), _offered)


def keep(anchor: str, now: int, app: str, digest: str, names: Sequence[str]) -> Call[int]:
    """The declarations that hold from now on; how many schedules of the app were removed because they are not in them."""
    return Call("schedule_keep", anchor, (now, app, digest, *names), integer)


def _next(following: Next) -> tuple[Argument, Argument]:
    return following or (_NONE, _NONE)


def _job(job: NewJob) -> list[Argument]:
    spec: Argument = f"{job.level}:{len(job.options)}" if job.options else job.level
    return [spec, job.task, job.body, *job.options]


def _fields(flat: Any) -> Fields:
    return {
        text(name): value if isinstance(value, bytes) else text(value).encode() for name, value in twos(flat)
    }


def _named(rows: Sequence[Any]) -> dict[str, Fields]:
    return {text(name): _fields(flat) for name, *flat in (parts(row, 1) for row in rows) if flat}


def _read(reply: Any) -> Schedules:
    now, *rows = parts(reply, 1)
    return Schedules(integer(now), _named(rows))


def _listed(reply: Any) -> Schedules:
    now, following, *rows = parts(reply, 2)
    return Schedules(integer(now), _named(rows), text(following))


def _outcome(reply: Any) -> Outcome:
    outcome, said = parts(reply, 2)[:2]
    return Outcome(text(outcome), text(said))


def _offered(reply: Any) -> Offered:
    verdict, now = parts(reply, 2)[:2]
    return Offered(text(verdict), integer(now))
