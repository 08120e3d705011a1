"""Schedules as an App has them: declared in code, put in by programs, looked at and steered. Each method has an a-form.

What is declared with ``app.schedule`` is kept on the server by the workers that start with that code; what is put in with
``app.schedules.put`` is there at once, and stays until somebody removes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

from streamq.declaring import Declared, ScheduleWords, declared, release_of
from streamq.errors import ConfigError, UniqueConflict
from streamq.job import Job
from streamq.options import moment
from streamq.protocol import Flow
from streamq.protocol import schedules as calls
from streamq.protocol.keys import anchor_of
from streamq.protocol.schedules import Fields
from streamq.ticks import keeping
from streamq.ticks.definition import Stored
from streamq.ticks.explaining import explain
from streamq.ticks.planning import Times
from streamq.ticks.policies import Policies
from streamq.ticks.release import Release
from streamq.ticks.ticking import Run

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.task import Call

__all__ = ["Schedule", "ScheduleInfo", "Schedules"]


@dataclass(frozen=True, slots=True)
class ScheduleInfo:
    """What the server keeps of a schedule. Times are milliseconds since 1970, None where there is none."""

    name: str
    queue: str
    task: str
    expression: str
    words: str
    source: str
    app: str | None
    note: str
    policies: Policies
    start: str | None
    end: str | None
    blackouts: tuple[str, ...]
    paused: bool
    paused_note: str
    next_run_ms: int | None
    due_ms: int | None
    last_run_ms: int | None
    last_job: str | None
    last_outcome: str
    over_ms: int | None
    runs: int
    skipped: int

    @classmethod
    def of(cls, stored: Stored) -> ScheduleInfo:
        """From its fields."""
        fields = stored.fields
        return cls(
            name=stored.name,
            queue=stored.queue,
            task=fields["task"],
            expression=fields["expression"],
            words=fields.get("words", ""),
            source=fields["source"],
            app=fields.get("app"),
            note=fields.get("note", ""),
            policies=Policies.read(fields),
            start=fields.get("starts"),
            end=fields.get("ends"),
            blackouts=stored.blackouts,
            paused="paused" in fields,
            paused_note=fields.get("paused_note", ""),
            next_run_ms=stored.time("next_run_at"),
            due_ms=stored.time("due_at"),
            last_run_ms=stored.time("last_run_at"),
            last_job=f"{stored.queue}-{fields['last_job']}" if "last_job" in fields else None,
            last_outcome=fields.get("last_outcome", ""),
            over_ms=stored.time("over_at"),
            runs=int(fields.get("runs", 0)),
            skipped=int(fields.get("skipped", 0)),
        )


class Schedule:
    """A schedule by name: declared, or found again. Two handles of one name and queue are equal."""

    def __init__(self, app: App, name: str, queue: str, declared: Declared | None = None) -> None:
        self._app, self.name, self.queue, self.declared = app, name, queue, declared
        self.source: calls.Source = "api"  # who puts it in

    def __repr__(self) -> str:
        return f"Schedule({self.name!r}, queue={self.queue!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and (other.name, other.queue) == (self.name, self.queue)

    def __hash__(self) -> int:
        return hash((self.name, self.queue))

    @cached_property
    def _anchor(self) -> str:
        return anchor_of(self._app.config.namespace, self.queue)

    def put(self) -> bool:
        """Keep it on the server now; True when it is new. Raises WrongState when its name belongs to somebody else."""
        return self._app.follow(self._put())

    async def aput(self) -> bool:
        """Keep it on the server now; True when it is new. Raises WrongState when its name belongs to somebody else."""
        return await self._app.afollow(self._put())

    def info(self) -> ScheduleInfo:
        """What the server keeps of it. Raises ScheduleNotFound."""
        return ScheduleInfo.of(self._app.follow(self._find())[0])

    async def ainfo(self) -> ScheduleInfo:
        """What the server keeps of it. Raises ScheduleNotFound."""
        return ScheduleInfo.of((await self._app.afollow(self._find()))[0])

    def times(self) -> Times:
        """Its times, as the server keeps them. Raises ScheduleNotFound, and ConfigError for what is not understood."""
        return self._app.follow(self._find())[0].times

    async def atimes(self) -> Times:
        """Its times, as the server keeps them. Raises ScheduleNotFound, and ConfigError for what is not understood."""
        return (await self._app.afollow(self._find()))[0].times

    def explain(self) -> str:
        """When it runs next, what its last run came to, and why it does not run where it does not; a sentence a line."""
        return "\n".join(self._app.follow(self._explain()))

    async def aexplain(self) -> str:
        """When it runs next, what its last run came to, and why it does not run where it does not; a sentence a line."""
        return "\n".join(await self._app.afollow(self._explain()))

    def pause(self, note: str = "") -> None:
        """Make no more jobs until it is resumed; ``note`` is for those who look. Raises ScheduleNotFound."""
        self._app.run(calls.pause(self._anchor, 0, self.name, note))

    async def apause(self, note: str = "") -> None:
        """Make no more jobs until it is resumed; ``note`` is for those who look. Raises ScheduleNotFound."""
        await self._app.arun(calls.pause(self._anchor, 0, self.name, note))

    def resume(self) -> None:
        """Go on after a pause with the next time; those in between are not made up for. Raises ScheduleNotFound."""
        self._app.follow(self._resume())

    async def aresume(self) -> None:
        """Go on after a pause with the next time; those in between are not made up for. Raises ScheduleNotFound."""
        await self._app.afollow(self._resume())

    def remove(self, *, force: bool = False) -> None:
        """Remove it. Raises WrongState for one that code declares, unless forced, and ScheduleNotFound."""
        self._app.run(calls.remove(self._anchor, 0, self.name, force=force))

    async def aremove(self, *, force: bool = False) -> None:
        """Remove it. Raises WrongState for one that code declares, unless forced, and ScheduleNotFound."""
        await self._app.arun(calls.remove(self._anchor, 0, self.name, force=force))

    def run(self) -> Job[Any]:
        """Run it once for this moment, whatever its times and policies say. Raises ScheduleNotFound."""
        return self._job(self._app.follow(self._run()))

    async def arun(self) -> Job[Any]:
        """Run it once for this moment, whatever its times and policies say. Raises ScheduleNotFound."""
        return self._job(await self._app.afollow(self._run()))

    def backfill(self, first: datetime, last: datetime) -> list[Job[Any]]:
        """Run it for each of its times from ``first`` to ``last`` that had no job; the jobs that were added.

        Repeated, it adds nothing. Raises LimitExceeded for more than 1,000 times, and ScheduleNotFound.
        """
        return self._added(self._app.follow(self._backfill(first, last)))

    async def abackfill(self, first: datetime, last: datetime) -> list[Job[Any]]:
        """Run it for each of its times from ``first`` to ``last`` that had no job; the jobs that were added.

        Repeated, it adds nothing. Raises LimitExceeded for more than 1,000 times, and ScheduleNotFound.
        """
        return self._added(await self._app.afollow(self._backfill(first, last)))

    def _put(self) -> Flow[bool]:
        if self.declared is None:
            raise ConfigError(
                f"schedule {self.name} was found by its name: app.put_schedule(…) says what it is"
            )
        return keeping.put(self._anchor, 0, self.source, self.declared.definition(None))

    def _find(self) -> Flow[tuple[Stored, int]]:
        return keeping.find(self._anchor, 0, self.queue, self.name)

    def _explain(self) -> Flow[list[str]]:
        return explain(self._anchor, 0, self.queue, self.name)

    def _resume(self) -> Flow[bool]:
        return keeping.resume(self._anchor, 0, self.queue, self.name)

    def _run(self) -> Flow[Run]:
        return keeping.run(self._anchor, 0, self.queue, self.name, self._app.payloads)

    def _backfill(self, first: datetime, last: datetime) -> Flow[list[Run]]:
        moments = moment("first", first), moment("last", last)
        return keeping.backfill(self._anchor, 0, self.queue, self.name, self._app.payloads, *moments)

    def _job(self, run: Run) -> Job[Any]:
        if run.outcome.outcome == "skipped":
            raise UniqueConflict(run.outcome.said)
        return self._app.job(f"{self.queue}-{run.outcome.said}")

    def _added(self, runs: list[Run]) -> list[Job[Any]]:
        return [self._job(run) for run in runs if run.outcome.outcome == "added"]


class Schedules:
    """The schedules of an App: ``app.schedules``. ``declared`` are those of its code, by name."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.declared: dict[str, Declared] = {}

    def declare(self, when: str, call: Call[Any], words: Mapping[str, Any]) -> Schedule:
        """A schedule of the code. Raises BadSchedule, and ConfigError for what cannot be used."""
        new = declared(when, call, None, words)
        known = self.declared.setdefault(new.times.name, new)
        if known is not new:
            raise ConfigError(
                f"two schedules are named '{new.times.name}': {known.call!r} and {new.call!r}; give one of them a name="
            )
        return Schedule(self._app, new.times.name, call.task.queue, new)

    def put(self, when: str, call: Call[Any], /, **words: Unpack[ScheduleWords]) -> Schedule:
        """Keep a schedule on the server from now on, or change it; ``name`` by default is the task's.

        Raises BadSchedule and ConfigError for what cannot be used, WrongState when its name belongs to code.
        """
        schedule = self.make(when, call, words)
        schedule.put()
        return schedule

    async def aput(self, when: str, call: Call[Any], /, **words: Unpack[ScheduleWords]) -> Schedule:
        """Keep a schedule on the server from now on, or change it; ``name`` by default is the task's.

        Raises BadSchedule and ConfigError for what cannot be used, WrongState when its name belongs to code.
        """
        schedule = self.make(when, call, words)
        await schedule.aput()
        return schedule

    def named(self, name: str, queue: str = "default") -> Schedule:
        """The schedule of that name whose task is in that queue; nothing is asked of the server."""
        return Schedule(self._app, name, queue)

    def list(self, queue: str = "default") -> Sequence[ScheduleInfo]:
        """The schedules of a queue, the next due one first."""
        return self._infos(queue, self._app.follow(self._all(queue)))

    async def alist(self, queue: str = "default") -> Sequence[ScheduleInfo]:
        """The schedules of a queue, the next due one first."""
        return self._infos(queue, await self._app.afollow(self._all(queue)))

    def release(self, queue: str) -> Release:
        """What the code declares in a queue, for a worker to offer."""
        of_queue = [one for one in self.declared.values() if one.call.task.queue == queue]
        return release_of(self._app.name, self._app.payloads.sealing_id, of_queue)

    def make(self, when: str, call: Call[Any], words: Mapping[str, Any]) -> Schedule:
        """A schedule that is not on the server yet: its ``put`` does that. Raises what ``put`` does."""
        new = declared(when, call, datetime.now(UTC), words)
        return Schedule(self._app, new.times.name, call.task.queue, new)

    def _all(self, queue: str) -> Flow[dict[str, Fields]]:
        return calls.all_schedules(anchor_of(self._app.config.namespace, queue), 0)

    def _infos(self, queue: str, found: dict[str, Fields]) -> Sequence[ScheduleInfo]:
        return [ScheduleInfo.of(Stored(name, queue, fields)) for name, fields in found.items()]
