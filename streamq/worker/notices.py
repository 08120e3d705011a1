"""What a worker says of its jobs: structured lines for the log, and events for observers. Payloads are never in them.

Nothing is paid for a job that completed when nobody listens: neither a debug log nor an observer of ``job.completed``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streamq.errors import SoftTimeout
from streamq.events import Event, EventName, Observers
from streamq.logger import Logger
from streamq.worker.hopped import TimeLimit
from streamq.worker.outbox import Ending
from streamq.worker.repeats import Repeats

if TYPE_CHECKING:
    from streamq.ticks.ticking import MissedRun

__all__ = ["Notices"]

_NAMES: dict[str, EventName] = {
    "done": "job.completed",
    "retry": "job.retrying",
    "snooze": "job.retrying",
    "limited": "job.retrying",
    "park": "job.parked",
    "wait": "job.waiting",
    "dead": "job.dead",
    "cancelled": "job.cancelled",
    "expired": "job.expired",
}
_LEVELS = {
    "job.completed": "debug",
    "job.retrying": "warning",
    "job.parked": "warning",
    "job.waiting": "info",
    "job.dead": "error",
    "job.cancelled": "info",
    "job.expired": "info",
}


class Notices:
    """For the jobs of one queue. ``debugs``: completions are logged too."""

    def __init__(self, queue: str, observers: Observers, *, debugs: bool) -> None:
        self._queue, self._observers, self._debugs = queue, observers, debugs
        self._losses = Repeats()
        self._log = Logger("streamq.worker", queue=queue)

    @property
    def on_completion(self) -> Callable[[Ending], None] | None:
        """What to call for each completion; None when nobody wants to know."""
        return self.ended if self._debugs or self._observers.wants("job.completed") else None

    def ended(self, ending: Ending) -> None:
        """A job ended."""
        outcome = ending.verdict.outcome
        if outcome is None:
            self._log.warning("job.fenced", job=ending.job, hint="its lease was over; somebody else runs it")
            return
        name = _NAMES.get(outcome)
        if name is None:
            return
        fields = _fields(ending)
        task = ending.task
        if name != "job.completed" or self._debugs:
            getattr(self._log, _LEVELS[name])(name, job=ending.job, task=task, **fields)
        if self._observers.wants(name):
            self._observers.tell(Event(name, ending.job, task, self._queue, fields))

    def died(self, job: str, record: Mapping[str, str]) -> None:
        """A job became a dead letter because its workers were lost."""
        if record.get("state") != "dead":  # somebody retries it already
            return
        task, fields = record.get("task"), {name: record.get(name, "") for name in ("reason", "error")}
        self._log.error("job.dead", job=job, task=task, **fields)
        self._observers.tell(Event("job.dead", job, task, self._queue, fields))

    def missed(self, run: MissedRun) -> None:
        """A run of a schedule was not complete by the end of its grace."""
        job = f"{self._queue}-{run.job}" if run.job else None
        fields = {
            "schedule": run.name,
            "scheduled_at": datetime.fromtimestamp(run.moment_ms / 1000, UTC).isoformat(),
            "why": run.why,
        }
        self._log.error("schedule.missed", job=job, task=run.task, **fields)
        self._observers.tell(Event("schedule.missed", job, run.task, self._queue, fields))

    def started(self, job: str, task: str) -> None:
        """A handler is called, in its thread."""
        self._observers.tell(Event("job.started", job, task, self._queue), through=(TimeLimit, SoftTimeout))

    def refused(self, deliveries: list[tuple[str, str]]) -> None:
        """The server did not take these endings: the deliveries are not this worker's any more."""
        for level, entry in deliveries:
            self._log.warning(
                "job.settle_refused", delivery=f"{level}-{entry}", hint="it was given to somebody else"
            )

    def lost(self, error: Exception, now: float) -> None:
        """The connection broke or cannot be made: said at once, then with a count every half minute at most."""
        if times := self._losses.met(now):
            self._log.warning("worker.connection_lost", error=str(error), times=times)

    def trouble(self, what: str, **fields: Any) -> None:
        """Something is wrong that the worker gets over by itself."""
        self._log.warning(what, **fields)

    def said(self, what: str, **fields: Any) -> None:
        """Something worth a line."""
        self._log.info(what, **fields)


def _fields(ending: Ending) -> dict[str, Any]:
    verdict = ending.verdict
    fields: dict[str, Any] = {}
    if verdict.outcome != "park":
        fields = {"attempt": ending.attempt, "seconds": round(ending.seconds, 6)}
    if verdict.delay is not None:
        fields["again_in"] = round(verdict.delay, 3)
    if verdict.waits_for:
        fields["waits_for"] = verdict.waits_for
    if verdict.reason:
        fields["reason"] = verdict.reason
    if verdict.fault:
        fields["error"] = f"{verdict.fault.type_name}: {verdict.fault.text}"[:500]
    return fields
