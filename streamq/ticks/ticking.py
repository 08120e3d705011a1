"""The conversations about ticks: with a schedule that is due, and with one whose run should be complete by now.

Any number of workers may hold them about the same schedule at the same time, and each may be lost at any point: the server
adds one job for each time, and who was told of a schedule and does nothing is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamq.protocol import Call, Flow
from streamq.protocol.inspect import job as look_at
from streamq.protocol.schedules import Next, Outcome, Schedules, checked, read
from streamq.protocol.schedules import tick as tick_call
from streamq.ticks.definition import Stored
from streamq.ticks.planning import instant, ms_of
from streamq.wire import Payloads

__all__ = ["MissedRun", "Run", "tick"]


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one time of a schedule."""

    moment_ms: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class MissedRun:
    """A time of a schedule with a grace that was not run by its end, and why."""

    name: str
    moment_ms: int
    job: str
    why: str
    task: str


def tick(
    anchor: str,
    now: int,
    queue: str,
    name: str,
    payloads: Payloads,
    tell: Callable[[MissedRun], None],
) -> Flow[list[Run]]:
    """Do what is due for a schedule; what became of its times. ``tell`` is called before the server forgets a missed run.

    Raises ConfigError when its expression is not understood.
    """
    schedules: Schedules = yield read(anchor, now, [name])
    fields = schedules.found.get(name)
    if fields is None:
        return []
    conversation = _Conversation(anchor, now, schedules.now, Stored(name, queue, fields), payloads)
    runs = yield from conversation.release()
    runs += yield from conversation.run_due()
    yield from conversation.check(tell)
    return runs


@dataclass(frozen=True, slots=True)
class _Conversation:
    """About one schedule; ``clock`` is the server's."""

    anchor: str
    now: int
    clock: int
    stored: Stored
    payloads: Payloads

    def release(self) -> Flow[list[Run]]:
        """Run what waited for the end of an earlier run."""
        queued = self.stored.time("queued")
        if queued is None:
            return []
        due, due_at = self.stored.time("next_run_at"), self.stored.time("due_at")
        same = None if due is None or due_at is None else (due, due_at)
        outcome: Outcome = yield self._tick(same, None, queued)
        return [Run(queued, outcome)] if outcome.outcome in ("added", "before") else []

    def run_due(self) -> Flow[list[Run]]:
        """Run the times that have come, as its policies say."""
        expected, due_at = self.stored.time("next_run_at"), self.stored.time("due_at")
        runs: list[Run] = []
        if expected is None or due_at is None or due_at > self.clock:
            return runs
        times = self.stored.times
        for step in times.steps(instant(expected), instant(self.clock)):
            missed, due = (None if moment is None else ms_of(moment) for moment in (step.missed, step.due))
            place = times.place(step.following)
            outcome: Outcome = yield self._tick(place, missed, due)
            if outcome.outcome == "moved":
                break
            runs.append(Run(expected if due is None else due, outcome))
            if place is not None:
                self.stored.raw["next_run_at"] = str(place[0]).encode()
        return runs

    def check(self, tell: Callable[[MissedRun], None]) -> Flow[None]:
        """Was the run complete by the end of its grace?"""
        check_at = self.stored.time("check_at")
        if check_at is None or check_at > self.clock:
            return
        job = self._job_to_check()
        why = yield from self._why_missed(job)
        if why:
            moment = self.stored.time("check_run") or 0
            tell(MissedRun(self.stored.name, moment, job, why, self.stored.fields["task"]))
        yield checked(self.anchor, self.now, self.stored.name, check_at)

    def _tick(self, following: Next, missed: int | None, due: int | None) -> Call[Outcome]:
        job = self.stored.job(self.payloads, self.clock if due is None else due)
        return tick_call(
            self.anchor, self.now, self.stored.name, self.stored.raw, following, missed, due, job
        )

    def _job_to_check(self) -> str:
        fields = self.stored.fields
        if fields.get("check_job") or fields.get("last_run_at") != fields["check_run"]:
            return fields.get("check_job", "")
        return fields.get("last_job", "")

    def _why_missed(self, job: str) -> Flow[str]:
        known = self.stored.fields.get("check_why")
        if known:
            return known
        if not job:
            return "it waits for the end of the run before it"
        found: dict[str, str] = yield look_at(self.anchor, self.now, job)
        state = found.get("state", "completed")
        return "" if state == "completed" else f"its job is {state}"
