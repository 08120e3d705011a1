"""A schedule as it is written down: its times and its job, as fields that people can read in Redis, and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache

from streamq.errors import ConfigError, StreamqError
from streamq.protocol import Argument
from streamq.protocol.enqueue import NewJob
from streamq.protocol.replies import text
from streamq.protocol.schedules import Fields
from streamq.schedules import Blackout, Timetable, Window, parse
from streamq.ticks.planning import Times
from streamq.ticks.policies import Policies
from streamq.wire import Payloads

__all__ = ["Definition", "Stored"]


@dataclass(frozen=True, slots=True)
class Definition:
    """What somebody wants to run when. ``app``: the App whose code declares it."""

    times: Times
    job: NewJob
    note: str = ""
    app: str | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.times.name

    @property
    def fields(self) -> dict[str, Argument]:
        """As the server keeps it; what is not set is not there."""
        times, job = self.times, self.job
        optional: dict[str, Argument] = {
            "options": json.dumps(job.options) if job.options else "",
            "note": self.note,
            "app": self.app or "",
        }
        return {
            "expression": times.timetable.written,
            "words": times.timetable.words(),
            **times.policies.fields,
            **_window_fields(times.window),
            "task": job.task,
            "level": job.level,
            "body": job.body,
            **{name: value for name, value in optional.items() if value != ""},
        }


class Stored:
    """A schedule as the server keeps it. ``fields`` are raw; nothing of them is parsed before it is needed."""

    def __init__(self, name: str, queue: str, fields: Fields) -> None:
        self.name, self.queue, self.raw = name, queue, fields
        self.fields = {field: text(value) for field, value in fields.items() if field != "body"}

    @cached_property
    def times(self) -> Times:
        """Its times. Raises ConfigError when this version of streamq does not understand them."""
        try:
            timetable = _timetable(self.fields["expression"])
            window = _read_window(self.fields)
        except ConfigError as error:
            raise ConfigError(f"schedule {self.name} of queue {self.queue}: {error}") from error
        return Times(self.name, timetable, window, Policies.read(self.fields))

    @property
    def blackouts(self) -> tuple[str, ...]:
        """What people call the times in which it does not run."""
        return tuple(name for _, _, name in json.loads(self.fields.get("blackouts", "[]")))

    def job(self, payloads: Payloads, moment_ms: int) -> NewJob:
        """The job for one of its times, which it carries. A payload that cannot be opened goes as it is: who runs it says why."""
        task, body = self.fields["task"], self.raw["body"]
        try:
            call = payloads.unpack(self.queue, task, body)
            carried = {**call.options, "schedule": self.name, "scheduled": moment_ms}
            body = payloads.pack(self.queue, task, call.args, call.kwargs, carried)
        except StreamqError:
            pass
        return NewJob(
            task, body, int(self.fields["level"]), tuple(json.loads(self.fields.get("options", "[]")))
        )

    def time(self, field: str) -> int | None:
        """A field that is a time, in milliseconds; None when it is not there."""
        value = self.fields.get(field)
        return None if value is None else int(value)


@lru_cache(maxsize=1000)
def _timetable(written: str) -> Timetable:
    """Reading takes 0.2 to 0.6 ms (2026-11-24), and the same few are ticked again and again."""
    return parse(written)


def _window_fields(window: Window) -> dict[str, str]:
    bounds = {"starts": window.start, "ends": window.end}
    kept = {name: bound.isoformat() for name, bound in bounds.items() if bound is not None}
    dark = [[blackout.text, blackout.zone, blackout.name] for blackout in window.blackouts]
    return {**kept, "blackouts": json.dumps(dark, ensure_ascii=False)} if dark else kept


def _read_window(fields: Mapping[str, str]) -> Window:
    bounds = (fields.get("starts"), fields.get("ends"))
    start, end = (None if bound is None else datetime.fromisoformat(bound) for bound in bounds)
    return Window(start, end, tuple(Blackout.read(*one) for one in json.loads(fields.get("blackouts", "[]"))))
