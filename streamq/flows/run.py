"""A flow that was put in: ask how it is, wait for its end, steer it. Each method has an a-form for event loops."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload

from streamq.durations import Duration
from streamq.errors import FlowFailed, JobNotFound
from streamq.flows.retrying import retry
from streamq.job import Job
from streamq.options import seconds
from streamq.protocol import Call as Operation
from streamq.protocol import Flow as Conversation
from streamq.protocol.flows import FlowJob, cancel_flow, flow, jobs
from streamq.protocol.keys import JobId
from streamq.protocol.results import Ending
from streamq.states import State

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.flows.flow import Step

__all__ = ["FlowInfo", "FlowState", "Progress", "Run", "StepInfo", "read_steps"]

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class FlowState(StrEnum):
    """How a flow is, in the words that people read."""

    BUILDING = "building"  # its jobs are being put in
    RUNNING = "running"
    UNDOING = "undoing"  # it failed or was cancelled; what it did is being undone
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Progress(NamedTuple):
    """How many jobs there are, without those that undo, and how many have ended."""

    ended: int
    total: int

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return self.ended / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class FlowInfo:
    """What is kept of a flow. Times are milliseconds since 1970; ``counts``: how many jobs ended how."""

    id: str
    name: str
    state: FlowState
    progress: Progress
    failures: int
    counts: Mapping[State, int]
    created_ms: int
    ended_ms: int | None

    @classmethod
    def read(cls, flow_id: str, fields: Mapping[str, str]) -> FlowInfo:
        """From the names and values of the server. Raises JobNotFound when there are none."""
        if not fields:
            raise JobNotFound(f"flow {flow_id} is unknown, or it ended so long ago that it was forgotten")
        return cls(
            flow_id,
            fields["name"],
            FlowState(fields["state"]),
            Progress(int(fields.get("ended_main", 0)), int(fields["total"])),
            int(fields.get("failures", 0)),
            {state: int(fields[state]) for state in State if int(fields.get(state, 0))},
            int(fields["created"]),
            int(fields["ended"]) if "ended" in fields else None,
        )


@dataclass(frozen=True, slots=True)
class StepInfo:
    """A job of a flow. ``status`` is None while it has not ended; ``edges``: jobs that it waits for, and which end is due.

    ``by_parents``: it did not run because of how its parents ended.
    """

    number: int
    name: str
    task: str
    job: str
    is_undo: bool
    edges: Mapping[str, str]
    status: State | None
    by_parents: bool
    ended_ms: int | None


def read_steps(found: list[FlowJob]) -> list[StepInfo]:
    """In the order in which they were added."""
    rows = [(job, *json.loads(job.text)) for job in found]
    by_number = {number: job.job for job, number, *_ in rows}
    steps = [
        StepInfo(
            number,
            name,
            task,
            job.job,
            job.role == "undo",
            {
                by_number.get(other, str(other)) if isinstance(other, int) else other: on.removesuffix("+")
                for other, on in edges
            },
            State(job.status) if job.status else None,
            job.by_parents,
            job.ended_ms,
        )
        for job, number, name, task, edges in rows
    ]
    return sorted(steps, key=lambda step: (step.number, step.job))


class Run(Generic[R_co]):
    """A handle by id. ``result()`` is what its last step returned, where it has one: a chain, or a group's list."""

    __slots__ = ("_app", "_jobs", "_last", "id")

    def __init__(
        self,
        app: App,
        flow_id: str,
        jobs: Mapping[str, str] | None = None,
        last: Step[Any] | list[Step[Any]] | None = None,
    ) -> None:
        self._app, self.id, self._jobs, self._last = app, flow_id, jobs, last

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @overload
    def ending_with(self, last: Step[T]) -> Run[T]: ...
    @overload
    def ending_with(self, last: list[Step[T]]) -> Run[list[T]]: ...
    def ending_with(self, last: Any) -> Run[Any]:
        """The same, whose ``result()`` is that of this step, or of these."""
        return Run(self._app, self.id, self._jobs, last)

    def info(self) -> FlowInfo:
        """What is kept of the flow. Raises JobNotFound when it is unknown."""
        return self._app.run(self._info())

    async def ainfo(self) -> FlowInfo:
        """What is kept of the flow. Raises JobNotFound when it is unknown."""
        return await self._app.arun(self._info())

    def status(self) -> FlowState:
        """How the flow is. Raises JobNotFound when it is unknown."""
        return self.info().state

    async def astatus(self) -> FlowState:
        """How the flow is. Raises JobNotFound when it is unknown."""
        return (await self.ainfo()).state

    def progress(self) -> Progress:
        """How many of its jobs have ended. Raises JobNotFound when it is unknown."""
        return self.info().progress

    async def aprogress(self) -> Progress:
        """How many of its jobs have ended. Raises JobNotFound when it is unknown."""
        return (await self.ainfo()).progress

    def steps(self) -> list[StepInfo]:
        """All of its jobs, also those that undo, in the order in which they were added."""
        return read_steps(self._app.follow(self._all()))

    async def asteps(self) -> list[StepInfo]:
        """All of its jobs, also those that undo, in the order in which they were added."""
        return read_steps(await self._app.afollow(self._all()))

    @overload
    def job(self, step: Step[T]) -> Job[T]: ...
    @overload
    def job(self, step: str) -> Job[Any]: ...
    def job(self, step: Step[Any] | str) -> Job[Any]:
        """The job of a step. Raises JobNotFound when the flow has no such step."""
        name = step if isinstance(step, str) else step.name
        if self._jobs is None:
            self._jobs = {one.name: one.job for one in reversed(self.steps())}
        if name not in self._jobs:
            raise JobNotFound(f"flow {self.id} has no step '{name}'; it has {', '.join(self._jobs)[:200]}")
        return Job(self._app, self._jobs[name], None if isinstance(step, str) else step.call.task)

    def wait(self, timeout: Duration | None = None) -> FlowState:
        """Wait for the end of its jobs (what undoes may go on); how it ended. Raises ResultTimeout."""
        where = JobId.parse(self.id)
        return _how(self._app.replies(where).ending(where, _span(timeout)), self.id)

    async def await_end(self, timeout: Duration | None = None) -> FlowState:  # noqa: ASYNC109 - as in wait
        """Wait for the end of its jobs (what undoes may go on); how it ended. Raises ResultTimeout."""
        where = JobId.parse(self.id)
        return _how(await self._app.replies(where).aending(where, _span(timeout)), self.id)

    @overload
    def result(self, step: Step[T], timeout: Duration | None = None) -> T: ...
    @overload
    def result(self, step: None = None, timeout: Duration | None = None) -> R_co: ...
    def result(self, step: Step[Any] | None = None, timeout: Duration | None = None) -> Any:
        """What a step returned, or the last one; waits for it.

        Raises FlowFailed when it did not run because another failed, and what ``Job.result`` raises.
        """
        if step is not None:
            return self.job(step).result(timeout)
        if self.wait(timeout) is not FlowState.COMPLETED:
            raise self._failed(self.steps())
        if isinstance(self._last, list):
            return [self.job(one).result(timeout) for one in self._last]
        return None if self._last is None else self.job(self._last).result(timeout)

    @overload
    async def aresult(self, step: Step[T], timeout: Duration | None = None) -> T: ...  # noqa: ASYNC109
    @overload
    async def aresult(self, step: None = None, timeout: Duration | None = None) -> R_co: ...  # noqa: ASYNC109
    async def aresult(self, step: Step[Any] | None = None, timeout: Duration | None = None) -> Any:  # noqa: ASYNC109
        """What a step returned, or the last one; waits for it.

        Raises FlowFailed when it did not run because another failed, and what ``Job.result`` raises.
        """
        if step is not None:
            return await self.job(step).aresult(timeout)
        if await self.await_end(timeout) is not FlowState.COMPLETED:
            raise self._failed(await self.asteps())
        if isinstance(self._last, list):
            return [await self.job(one).aresult(timeout) for one in self._last]
        return None if self._last is None else await self.job(self._last).aresult(timeout)

    def cancel(self) -> None:
        """Stop its jobs that have not ended; what completed is undone, where steps say how. Raises JobNotFound."""
        self._app.follow(cancel_flow(self._app.config.namespace, *self._place()))

    async def acancel(self) -> None:
        """Stop its jobs that have not ended; what completed is undone, where steps say how. Raises JobNotFound."""
        await self._app.afollow(cancel_flow(self._app.config.namespace, *self._place()))

    def retry(self) -> int:
        """Run the steps again that ended without success, and those behind them; how many.

        Raises WrongState when it has not failed, or was undone: then enqueue it anew.
        """
        return self._app.follow(retry(self._app.config.namespace, self.id))

    async def aretry(self) -> int:
        """Run the steps again that ended without success, and those behind them; how many.

        Raises WrongState when it has not failed, or was undone: then enqueue it anew.
        """
        return await self._app.afollow(retry(self._app.config.namespace, self.id))

    def _place(self) -> tuple[str, int, str]:
        where = JobId.parse(self.id)
        return where.anchor(self._app.config.namespace), 0, where.local

    def _info(self) -> Operation[FlowInfo]:
        call = flow(*self._place())
        return Operation(
            call.function,
            call.anchor,
            call.args,
            lambda reply: FlowInfo.read(self.id, call.read(reply)),
            readonly=True,
        )

    def _all(self) -> Conversation[list[FlowJob]]:
        return jobs(*self._place())

    def _failed(self, steps: list[StepInfo]) -> FlowFailed:
        failed = [one for one in steps if one.status in _FAILURES and not one.by_parents and not one.is_undo]
        return FlowFailed(self.id, {one.name: f"{one.status} ({one.job})" for one in failed})


_FAILURES = {State.DEAD, State.CANCELLED, State.EXPIRED}
_HOW = {
    "completed": FlowState.COMPLETED,
    "dead": FlowState.FAILED,
    "cancelled": FlowState.CANCELLED,
}


def _how(ending: Ending, flow_id: str) -> FlowState:
    if ending.status in _HOW:
        return _HOW[ending.status]
    raise JobNotFound(f"flow {flow_id} is unknown, or it ended so long ago that it was forgotten")


def _span(timeout: Duration | None) -> float | None:
    return None if timeout is None else seconds(timeout)
