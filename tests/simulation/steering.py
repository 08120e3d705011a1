"""Judges what is said of jobs by others than workers: accepted, cancelled, retried, purged, shown, awaited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from simulation.clock import Clock
from simulation.ledger import NEVER, Job, Ledger, Violation
from simulation.rows import pairs
from simulation.shard import Shard
from simulation.uniqueness import due_of, meet, options_of, shares_key
from streamq.protocol.control import Step
from streamq.protocol.enqueue import ANONYMOUS, Enqueued, NewJob
from streamq.protocol.results import WAITING, Ending

Answers = list[Any]
LIVING = ("scheduled", "waiting", "pending", "active", "retrying")


class Steering:
    """``look`` reads a picture of the shard; ``catch_up`` makes the ledger know of ends that no reply told of."""

    def __init__(
        self, clock: Clock, ledger: Ledger, look: Callable[[], Shard], catch_up: Callable[[], object]
    ) -> None:
        self.clock, self.ledger, self.look, self.catch_up = clock, ledger, look, catch_up

    # producing

    def saw_enqueue(self, args: Sequence[Any], value: Enqueued, answers: Answers) -> None:
        producer, channel, seq, jobs = args
        name = (producer, channel, seq)
        if producer != ANONYMOUS:
            first = self.ledger.answers.setdefault(name, value)
            if first != value:
                raise Violation(f"a repeated call was answered otherwise: {name} {first} {value}")
            if first is not value:
                return
        for index, (job_id, new) in enumerate(zip(value.ids, jobs, strict=True)):
            predecessor = None
            if shares_key(new):
                predecessor = meet(self.ledger, self.clock.wall, job_id, new, stands=index in value.existing)
            elif index in value.existing:
                self._judge_holder(job_id, dict(pairs(new.options))["unique"])
            if index not in value.existing:
                self._accept(job_id, (name, index), new, predecessor)
        self._judge_keys(
            [self.ledger.jobs[job_id] for job_id in value.ids if job_id not in value.existing.values()]
        )

    def _accept(self, job_id: str, asked_by: Any, new: NewJob, predecessor: str | None) -> None:
        options, now = options_of(new), self.clock.wall
        due = due_of(options, now)
        job = Job(
            id=job_id,
            asked_by=asked_by,
            task=new.task,
            body=new.body.decode(),
            options=options,
            born=self.clock.t,
            due=due,
            expires_at=int(options["expires"]) + max(due, now) if "expires" in options else None,
            deadline_at=now + int(options["within"]) if "within" in options else None,
            level=str(new.level),
            follows=predecessor,
            first=now if "debounce" in options else None,
        )
        if job_id[0] != str(new.level):
            raise Violation(f"{job_id} was asked for at level {new.level}")
        self.ledger.accept(job)

    def _judge_keys(self, added: Sequence[Job]) -> None:
        for job in added:
            if job.unique and job.must_hold and self._holders(job):
                self.catch_up()
                if others := self._holders(job):
                    raise Violation(f"unique key {job.unique} held by {others} and by {job.id}")

    def _holders(self, job: Job) -> list[str]:
        others = (other for other in self.ledger.open_jobs() if other is not job)
        return [other.id for other in others if other.unique == job.unique and other.must_hold]

    def _judge_holder(self, job_id: str, key: str) -> None:
        holder = self.ledger.get(job_id)
        if holder.unique != key:
            raise Violation(f"{job_id} was answered as holder of {key}, which it has never asked for")
        if holder.until in ("done", "start") and not holder.must_hold:
            raise Violation(f"{job_id} is {holder.end or 'started'} and still holds {key}")

    # steering

    def saw_pause(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.ledger.paused = True

    def saw_resume(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.ledger.paused = False

    def saw_strike(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        name, *_, options = args
        self.ledger.strikes[name] = self.clock.wall + options["for"] if "for" in options else NEVER

    def saw_unstrike(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.ledger.strikes[args[0]] = 0
        for job in self.ledger.open_jobs():
            if job.struck == args[0]:
                job.due = 0

    def saw_cancel(self, args: Sequence[Any], value: str, answers: Answers) -> None:
        job = self._known(args[0], value == "GONE")
        if job is None:
            return
        if value == "CANCELLED":
            self.ledger.end(job, "cancelled")
        elif value == "ASKED":
            if job.end or not job.deliveries:
                raise Violation(f"a worker was asked to stop {job.id}, which is {job.end or 'not with any'}")
            job.asked = True
            self._judge_command(job)
        elif job.end is None:
            self.catch_up()
            if job.end is None:
                raise Violation(f"cancel found nothing of {job.id}, which lives")

    def _judge_command(self, job: Job) -> None:
        shard = self.look()
        for entry in shard.given:
            text = f"cancel {entry.level} {entry.id}"
            if entry.job == job.id and text not in shard.commands.get(entry.owner or "", []):
                raise Violation(f"{entry.owner} is not told to stop {job.id}")

    def saw_promote(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        job = self.ledger.get(args[0])
        job.moved, job.due = True, 0

    def saw_retry(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.ledger.reopen(self.ledger.get(args[0]))

    def saw_retry_step(self, args: Sequence[Any], value: Step, answers: Answers) -> None:
        dead = self.look().zsets["dead"]
        again = [job for job in self.ledger.jobs.values() if job.end == "dead" and job.id not in dead]
        if len(again) != value.touched:
            raise Violation(f"{value.touched} dead jobs were retried, but {len(again)} left the dead letters")
        for job in again:
            self.ledger.reopen(job)

    def saw_drop(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.ledger.drop(self.ledger.get(args[0]))

    def saw_purge_step(self, args: Sequence[Any], value: Step, answers: Answers) -> None:
        places = self.look().places()
        end = "dead" if args[0] == "dead" else None
        gone = [job for job in self.ledger.jobs.values() if job.end == end and job.id not in places]
        if len(gone) != value.touched:
            raise Violation(f"purge says it removed {value.touched}, but {len(gone)} are gone")
        for job in gone:
            if end:
                self.ledger.drop(job)
            else:
                self.ledger.end(job, "cancelled")

    # looking

    def saw_job(self, args: Sequence[Any], value: dict[str, str], answers: Answers) -> None:
        job, state = self.ledger.jobs.get(args[0]), value.get("state")
        if job is None:
            return
        if job.end is None and state not in LIVING:
            self.catch_up()
        kept = (None, "dead") if job.end == "purged" else (None, job.end)
        if state not in (LIVING if job.end is None else kept):
            raise Violation(f"{job.id} is {job.end or 'open'}, and shown as {state}")
        if job.end is None and value.get("body", job.body) != job.body:
            raise Violation(f"another job's body is shown for {job.id}: {value}")

    # waiting

    def saw_wait(self, args: Sequence[Any], value: Ending, answers: Answers) -> None:
        job_id, reply_key = args
        job = self._known(job_id, value.status == "gone")
        if job is None:
            return
        if value.status == WAITING:
            self.ledger.waiters[reply_key] = job_id
        elif not job.end:
            self.catch_up()
        if value.status == WAITING and job.end:
            raise Violation(f"{job_id} is {job.end} and somebody may wait for it")
        ended = "dead" if job.end == "purged" else job.end
        if value.status not in (WAITING, "gone", ended):
            raise Violation(f"{job_id} is {job.end or 'open'}; who waited was told {value.status}")
        if value.status == "gone" and job.end is None:
            raise Violation(f"{job_id} lives; who waited was told that it is gone")

    def saw_unwait(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.ledger.waiters.pop(args[1], None)
        self.ledger.told.pop(args[1], None)

    def _known(self, job_id: str, answered_gone: bool) -> Job | None:
        """The job, or None when a failover forgot it and the server says so."""
        if job_id not in self.ledger.jobs and job_id in self.ledger.issued and answered_gone:
            return None
        return self.ledger.get(job_id)
