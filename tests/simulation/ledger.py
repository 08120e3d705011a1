"""What must be true of every job: the model that the server is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Self

from streamq.protocol.enqueue import Enqueued

CallName = tuple[str, int, int]  # producer, channel, seq


class Violation(Exception):
    """A rule of the protocol does not hold."""


NEVER = 10**15


@dataclass(slots=True)
class Job:
    """One accepted job. ``due``, ``expires_at`` and ``deadline_at`` are wall time, ``born`` is true time (ms)."""

    id: str
    asked_by: tuple[CallName, int]
    task: str
    body: str
    options: dict[str, str]
    born: int
    due: int
    expires_at: int | None
    end: str | None = None
    result: str = ""
    attempts: int = 0
    deliveries: int = 0
    fresh: bool = True  # not delivered since it was accepted, or retried from the dead letters
    deaths_alone: int = 0
    moved: bool = False  # it came back to its queue at least once
    asked: bool = False  # to stop, while it was with a worker
    level: str = ""
    given: bool = False  # delivered, and not back in its queue; also while its worker is lost
    follows: str | None = None  # the job after which it may run
    deadline_at: int | None = None
    first: int | None = None  # wall time of the first call of a debounced one
    struck: str = ""  # the strike for which it was handed back last

    @property
    def poison(self) -> bool:
        """Whether it kills every worker that starts it."""
        return self.body.startswith("poison")

    @property
    def latest(self) -> int:
        """When it is too late to run it: it has not begun in time, or its deadline is past."""
        times = [self.deadline_at, None if self.attempts else self.expires_at]
        return min((at for at in times if at is not None), default=NEVER)

    @property
    def unique(self) -> str | None:
        return self.options.get("unique")

    @property
    def until(self) -> str:
        return self.options.get("until", "done")

    @property
    def must_hold(self) -> bool:
        """Whether it is open and its unique key, if it has one, must be its own."""
        return (
            self.end is None
            and self.follows is None
            and (self.until == "done" or (self.until == "start" and self.fresh))
        )


@dataclass(slots=True)
class Ledger:
    """All jobs, and what was answered about them. ``issued`` outlives a failover: an id names one job for good."""

    jobs: dict[str, Job] = field(default_factory=dict)
    answers: dict[CallName, Enqueued] = field(default_factory=dict)
    waiters: dict[str, str] = field(default_factory=dict)  # reply key -> job that has not ended
    told: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # reply key -> job, end, result
    paused: bool = False
    ends: Counter[str] = field(default_factory=Counter)
    issued: dict[str, tuple[CallName, int]] = field(default_factory=dict)
    strikes: dict[str, int] = field(default_factory=dict)  # when each ends (wall time); 0: it was lifted

    def accept(self, job: Job) -> None:
        """A job came in under an id that no other job may ever have had."""
        earlier = self.issued.setdefault(job.id, job.asked_by)
        if earlier != job.asked_by or job.id in self.jobs:
            raise Violation(f"one id for two jobs: {job.id} of {earlier} and of {job.asked_by}")
        self.jobs[job.id] = job

    def end(self, job: Job, how: str) -> None:
        """The job ended; a second end is a violation."""
        if job.end:
            raise Violation(f"ended twice: {job.id} {job.end} and {how}")
        job.end = how
        self.ends[how] += 1
        for follower in [other for other in self.open_jobs() if other.follows == job.id]:
            follower.follows, follower.moved = None, True
        for key in [key for key, waited in self.waiters.items() if waited == job.id]:
            del self.waiters[key]
            self.told[key] = (job.id, how, job.result)

    def reopen(self, job: Job) -> None:
        """A dead job is to run again."""
        if job.end != "dead":
            raise Violation(f"retried although it is {job.end}: {job.id}")
        self.ends["dead"] -= 1
        job.end, job.attempts, job.deaths_alone = None, 0, 0
        job.moved, job.asked, job.fresh, job.expires_at, job.deadline_at = True, False, True, None, None
        job.given, job.first = False, None

    def drop(self, job: Job) -> None:
        """A dead letter is thrown away."""
        if job.end != "dead":
            raise Violation(f"dropped although it is {job.end}: {job.id}")
        self.ends["dead"] -= 1
        self.ends["purged"] += 1
        job.end = "purged"

    def open_jobs(self) -> Iterator[Job]:
        """Those that have not ended."""
        return (job for job in self.jobs.values() if job.end is None)

    def get(self, job_id: str) -> Job:
        """The job, which must have been accepted."""
        if job_id not in self.jobs:
            raise Violation(f"unexpected: {job_id} was never accepted")
        return self.jobs[job_id]

    def copy(self) -> Self:
        """The ledger as it is now, for a failover back to it."""
        return replace(
            self,
            jobs=deepcopy(self.jobs),
            answers=dict(self.answers),
            waiters=dict(self.waiters),
            told=dict(self.told),
            ends=Counter(self.ends),
            strikes=dict(self.strikes),
        )

    def restore(self, copy: Ledger) -> None:
        """A stale copy took over: what came after it is gone by definition."""
        self.jobs, self.answers, self.ends = copy.jobs, copy.answers, copy.ends
        self.waiters, self.told, self.paused = copy.waiters, copy.told, copy.paused
        self.strikes = copy.strikes
