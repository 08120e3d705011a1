"""A job that was put in: ask how it is, wait for its result, steer it. Each method has an a-form for event loops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from streamq.errors import Cancelled, Expired, JobFailed, JobNotFound, ResultGone
from streamq.options import Duration, seconds
from streamq.protocol import Call as Operation
from streamq.protocol import control, inspect
from streamq.protocol.keys import JobId
from streamq.protocol.replies import text
from streamq.protocol.results import Ending
from streamq.states import FINAL, State

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.task import Call, Task

__all__ = ["Job", "JobInfo", "Progress"]

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running job said last: a fraction from 0 to 1, a word for people, and a part of its result."""

    fraction: float = 0.0
    note: str = ""
    partial: Any = None


@dataclass(frozen=True, slots=True)
class JobInfo:
    """What is kept of a job. Times are milliseconds since 1970; ``attempts`` is how many were spent, ``scheduled_ms`` the time
    of its schedule that it was made for.

    ``waits_for`` is ``signal <name>`` or ``sleep <number>``, ``steps`` the fields of its journal: ``step <name>``,
    ``cursor <name>``, ``signal <name>`` and what became of its waits.
    """

    id: str
    task: str
    state: State
    priority: int
    attempts: int
    created_ms: int
    due_ms: int | None
    reason: str
    error: str
    traceback: str
    history: tuple[str, ...]
    tags: tuple[str, ...]
    parent: str | None
    schedule: str | None
    scheduled_ms: int | None
    worker: str
    waits_for: str = ""
    waits_until_ms: int | None = None
    steps: tuple[str, ...] = ()

    @classmethod
    def read(cls, job_id: str, fields: dict[str, str]) -> JobInfo:
        """From the names and values of the server. Raises JobNotFound when there are none."""
        if not fields:
            raise JobNotFound(
                f"job {job_id} is unknown, or it has finished and nothing of it was kept (see result_ttl)"
            )
        return cls(
            id=job_id,
            task=fields["task"],
            state=State(fields["state"]),
            priority=int(fields["level"]),
            attempts=int(fields.get("attempt", 0)),
            created_ms=int(fields["created"]),
            due_ms=int(fields["due"]) if "due" in fields else None,
            reason=fields.get("reason", ""),
            error=fields.get("error", ""),
            traceback=fields.get("traceback", ""),
            history=tuple(fields.get("history", "").splitlines()),
            tags=tuple(filter(None, fields.get("tags", "").split(","))),
            parent=fields.get("parent"),
            schedule=fields.get("schedule"),
            scheduled_ms=int(fields["scheduled"]) if "scheduled" in fields else None,
            worker=fields.get("owner", ""),
            waits_for=fields.get("waits_for", ""),
            waits_until_ms=int(fields["waits_until"]) if "waits_until" in fields else None,
            steps=tuple(fields.get("steps", "").splitlines()),
        )


class Job(Generic[R_co]):
    """A handle by id: it holds no state and costs nothing to make. Two handles of one id are equal."""

    __slots__ = ("_app", "_task", "id")

    def __init__(self, app: App, job_id: str, task: Task[..., R_co] | None = None) -> None:
        self._app, self.id, self._task = app, job_id, task

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the job's end; what its handler returned.

        Raises JobFailed when it gave up, Cancelled when it was stopped, Expired when it was too late, ResultGone when
        it had ended before and nothing was kept (see ``result_ttl``), and ResultTimeout after ``timeout``: it goes on,
        ask again.
        """
        where = JobId.parse(self.id)
        task = self._task.name if self._task else self._app.run(self._task_name())
        return self._value(task, self._app.replies(where).ending(where, _seconds(timeout)))

    async def aresult(self, timeout: Duration | None = None) -> R_co:  # noqa: ASYNC109 - as in result
        """Wait for the job's end; what its handler returned. Raises what ``result`` does."""
        where = JobId.parse(self.id)
        task = self._task.name if self._task else await self._app.arun(self._task_name())
        return self._value(task, await self._app.replies(where).aending(where, _seconds(timeout)))

    def status(self) -> State:
        """Where the job is. Raises JobNotFound when it is unknown, or finished so long ago that the log forgot it."""
        return self._app.run(self._info()).state

    async def astatus(self) -> State:
        """Where the job is. Raises JobNotFound when it is unknown, or finished so long ago that the log forgot it."""
        return (await self._app.arun(self._info())).state

    def info(self) -> JobInfo:
        """What is kept of the job. Raises JobNotFound when it is unknown, or finished and not kept."""
        return self._app.run(self._info())

    async def ainfo(self) -> JobInfo:
        """What is kept of the job. Raises JobNotFound when it is unknown, or finished and not kept."""
        return await self._app.arun(self._info())

    def explain(self) -> str:
        """Its state, then what it waits for in order, with times; a sentence a line."""
        return self._app.run(self._explain())

    async def aexplain(self) -> str:
        """Its state, then what it waits for in order, with times; a sentence a line."""
        return await self._app.arun(self._explain())

    def progress(self) -> Progress:
        """What the running job said last. Raises JobNotFound when it is unknown, or finished and not kept."""
        return self._app.run(self._progress())

    async def aprogress(self) -> Progress:
        """What the running job said last. Raises JobNotFound when it is unknown, or finished and not kept."""
        return await self._app.arun(self._progress())

    def cancel(self) -> bool:
        """Stop it: at once while it waits; a running one is told within 100 ms. False when it had ended."""
        return self._app.run(self._cancel())

    async def acancel(self) -> bool:
        """Stop it: at once while it waits; a running one is told within 100 ms. False when it had ended."""
        return await self._app.arun(self._cancel())

    def promote(self) -> None:
        """Run it now instead of when it is due. Raises WrongState unless it waits for a time."""
        self._app.run(control.promote(*self._place()))

    async def apromote(self) -> None:
        """Run it now instead of when it is due. Raises WrongState unless it waits for a time."""
        await self._app.arun(control.promote(*self._place()))

    def signal(self, name: str, value: object = None, *, replace: bool = False) -> bool:
        """Send it a signal. It has that at hand when it comes to wait for it; a job that waits already runs again.

        False when it had one of that name: the first one stands, unless ``replace``, which is for a value that the job
        could not use, also when it died of that. Raises JobNotFound when it has ended, and WrongState when it is dead or
        does not wait for it any more.
        """
        task = self._task.name if self._task else self._app.run(self._task_name())
        return self._app.run(self._signal(task, name, value, replace=replace))

    async def asignal(self, name: str, value: object = None, *, replace: bool = False) -> bool:
        """Send it a signal. Returns and raises what ``signal`` does."""
        task = self._task.name if self._task else await self._app.arun(self._task_name())
        return await self._app.arun(self._signal(task, name, value, replace=replace))

    def retry(self: Job[T], call: Call[T] | None = None) -> Job[T]:
        """Run a dead job again under its id, its attempts start anew; ``call``: with these arguments instead.

        What it noted of its steps stays, unless the arguments are others.
        Raises JobNotFound when it is not among the dead letters, UniqueConflict when another holds its key now.
        """
        self._app.run(self._retry(call))
        return self

    async def aretry(self: Job[T], call: Call[T] | None = None) -> Job[T]:
        """Run a dead job again under its id, its attempts start anew; ``call``: with these arguments instead.

        Raises JobNotFound when it is not among the dead letters, UniqueConflict when another holds its key now.
        """
        await self._app.arun(self._retry(call))
        return self

    def _place(self) -> tuple[str, int, str]:
        where = JobId.parse(self.id)
        return where.anchor(self._app.config.namespace), 0, where.local

    def _info(self) -> Operation[JobInfo]:
        return _then(inspect.job(*self._place()), self._read_info)

    def _read_info(self, fields: dict[str, str]) -> JobInfo:
        info = JobInfo.read(self.id, fields)
        kind, words = self._read_error(info.task, info.error)
        error = f"{kind}: {words}" if kind else words
        return replace(info, error=error, traceback=self._read_traceback(info.task, info.traceback))

    def _task_name(self) -> Operation[str]:
        return _then(inspect.job(*self._place()), lambda fields: fields.get("task", ""))

    def _explain(self) -> Operation[str]:
        return _then(inspect.explain(*self._place()), "\n".join)

    def _cancel(self) -> Operation[bool]:
        return _then(control.cancel(*self._place()), lambda answer: answer != "GONE")

    def _retry(self, call: Call[Any] | None) -> Operation[bool]:
        replacement = (call.task.name, call.new_job(JobId.parse(self.id).queue).body) if call else None
        return control.retry(*self._place(), replacement)

    def _signal(self, task: str, name: str, value: object, *, replace: bool) -> Operation[bool]:
        where = JobId.parse(self.id)
        body = self._app.payloads.pack_noted(where.queue, task, f"signal {name}", value, where.local)
        return control.signal(*self._place(), name, body, replace=replace)

    def _progress(self) -> Operation[Progress]:
        call = inspect.job(*self._place())
        return Operation(call.function, call.anchor, call.args, self._read_progress, readonly=True)

    def _read_progress(self, reply: list[bytes]) -> Progress:
        """Read here because a partial result is bytes, which the reader of texts would spoil."""
        fields = {text(reply[i]): reply[i + 1] for i in range(0, len(reply), 2)}
        task = JobInfo.read(self.id, {name: text(value) for name, value in fields.items()}).task
        partial = fields.get("progress_partial")
        return Progress(
            float(fields.get("progress_fraction", 0)),
            text(fields.get("progress_note", "")),
            None if partial is None else self._unpack(task, partial, Any),
        )

    def _value(self, task: str, ending: Ending) -> R_co:
        known = self._task or self._app.tasks.get(task)
        if ending.status == State.COMPLETED and ending.payload:
            value: R_co = self._unpack(task, ending.payload, known.returns if known else Any)
            return value
        if ending.status == State.COMPLETED and known and known.keeps_results:
            return cast("R_co", None)  # had it been anything else, it would have been kept
        raise self._error(task, (ending.payload or b"").decode("utf-8", "replace"), ending.status)

    def _error(self, task: str, said: str, status: str) -> Exception:
        if status == State.DEAD:
            error, _, traceback = said.partition("\0")
            kind, words = self._read_error(task, error)
            return JobFailed(self.id, kind, words, self._read_traceback(task, traceback))
        if status == State.EXPIRED:
            return Expired(f"job {self.id} expired{': ' + said if said else ''}; it has no result")
        if status in FINAL and status != State.COMPLETED:
            _, words = self._read_error(task, said)
            return Cancelled(f"job {self.id} was {status}{': ' + words if words else ''}; it has no result")
        return ResultGone(
            f"job {self.id} has finished, or never was, and no result was kept; "
            "give its task a longer result_ttl, or wait before it ends"
        )

    def _unpack(self, task: str, body: bytes, kind: Any) -> Any:
        where = JobId.parse(self.id)
        return self._app.payloads.unpack_result(where.queue, task, body, kind, where.local)

    def _read_error(self, task: str, packed: str) -> tuple[str, str]:
        where = JobId.parse(self.id)
        return self._app.payloads.unpack_error(where.queue, task, packed, where.local)

    def _read_traceback(self, task: str, packed: str) -> str:
        where = JobId.parse(self.id)
        return self._app.payloads.unpack_traceback(where.queue, task, packed, where.local)


def _then(call: Operation[Any], read: Any) -> Operation[Any]:
    """The same operation, its value read further."""
    return replace(call, read=lambda reply: read(call.read(reply)))


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else seconds(timeout)
