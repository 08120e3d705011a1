"""Sees the true reply of every executed call, whoever hears of it, and holds it against the ledger.

Before a call that settles, it asks the pending list who owns what: so it knows which settlements must be accepted and
which must be refused. Ends that no reply tells of (expired, convicted, cancelled on the way) it finds by comparing the
ledger with a picture of the shard (``reconcile``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from simulation.clock import Clock
from simulation.ledger import Job, Ledger, Violation
from simulation.library import LEASE
from simulation.settling import Delivery, Settlement
from simulation.shard import GROUP, Shard
from streamq.protocol.consume import Adopted, Finished, Registered, Renewed, Taken
from streamq.protocol.control import Step
from streamq.protocol.enqueue import ANONYMOUS, Enqueued, NewJob
from streamq.protocol.results import WAITING, Ending

Answers = list[Any]
LIVING = ("scheduled", "pending", "active", "retrying")
RENEWAL_TOLERANCE = 60  # ms between the driver's clock and the shard's, after steps


class Witness:
    """The judge of single calls. ``look`` reads a picture of the shard."""

    def __init__(self, anchor: str, clock: Clock, ledger: Ledger, look: Callable[[], Shard]) -> None:
        self.anchor, self.clock, self.ledger, self.look = anchor, clock, ledger, look
        self.paused = False
        self.fence = 0
        self.epochs = 0  # restarts and failovers; ids stand still for up to JUMP after one
        self.highest_wall = 0
        self.renewed: dict[str, int] = {}  # consumer -> when its lease began anew, true time
        self.excused: set[str] = set()  # consumers that may be found unclean
        self.left: dict[str, int] = {}  # consumer -> when it was abandoned or retired, true time
        self.job_of: dict[Delivery, str] = {}
        self.given: dict[str, set[Delivery]] = {}  # consumer -> what it was given and has not settled
        self.delivered: list[str] = []  # jobs that were delivered since this was looked at last

    def questions(self, operation: str, args: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What to ask the server just before a call."""
        if operation == "renew":
            return [("EXISTS", f"{self.anchor}:commands:{consumer}") for consumer in args[1]]
        if operation in ("take", "finish"):
            deliveries = [settlement.delivery for settlement in args[-1]]
        elif operation == "abandon":
            deliveries = [split(suspect) for suspect in args[2]]
        elif operation == "progress":
            deliveries = [args[2]]
        else:
            if operation in ("purge_step", "retry_step"):
                self.reconcile(self.look())
            return []
        return [
            ("XPENDING", f"{self.anchor}:ready:{level}", GROUP, entry, entry, 1)
            for level, entry in deliveries
        ]

    def saw(self, operation: str, args: Sequence[Any], value: Any, answers: Answers) -> None:
        """A call was executed and answered ``value``."""
        self.highest_wall = max(self.highest_wall, self.clock.wall)
        judge = getattr(self, f"_saw_{operation}", None)
        if judge:
            judge(args, value, answers if operation == "renew" else [_owner(answer) for answer in answers])

    def new_epoch(self) -> None:
        """The server restarted or failed over: nobody who registered before is clean any more."""
        self.epochs += 1
        self.excused |= self.renewed.keys()
        self.left.clear()
        self.given.clear()

    def reconcile(self, shard: Shard) -> None:
        """Find the ends that no reply told of; what is neither here nor there is lost."""
        places = shard.places()
        for job in list(self.ledger.open_jobs()):
            if job.id not in places:
                self._vanished(job)
            elif places[job.id] == ["dead"]:
                self._convicted(job, shard.records.get(job.id, {}).get("reason", "nothing"))
        for job_id, found in places.items():
            job = self.ledger.get(job_id)
            if job.end and found != [job.end]:
                raise Violation(f"{job_id} is {job.end} and lives in {found}")

    def audit(self, shard: Shard) -> list[str]:
        """If a consumer is clean, every delivery ever given to it is still its own, or it settled it."""
        owned = {((entry.level, entry.id), entry.owner) for entry in shard.given}
        clean = f"clean:{shard.hashes['meta'].get('epoch')}:"
        return [
            f"{consumer} is clean, and {delivery} was moved away from it"
            for consumer, state in shard.hashes["consumers"].items()
            if state.startswith(clean)
            for delivery in sorted(self.given.get(consumer, set()))
            if (delivery, consumer) not in owned
        ]

    # ends without a reply

    def _vanished(self, job: Job) -> None:
        if job.asked:
            self.ledger.end(job, "cancelled")
        elif job.expires_at is not None and not job.attempts and self.highest_wall > job.expires_at:
            self.ledger.end(job, "expired")
        else:
            raise Violation(f"lost: {job.id} was accepted, has not ended, and is nowhere")

    def _convicted(self, job: Job, reason: str) -> None:
        if reason not in ("poison", "lost") or not job.poison:
            raise Violation(f"an innocent job was convicted: {job.id} for {reason}")
        if reason == "poison" and job.deaths_alone < 3:
            raise Violation(f"convicted after {job.deaths_alone} deaths alone: {job.id}")
        self.ledger.end(job, "dead")

    # producing

    def _saw_enqueue(self, args: Sequence[Any], value: Enqueued, answers: Answers) -> None:
        producer, channel, seq, jobs = args
        name = (producer, channel, seq)
        if producer != ANONYMOUS:
            first = self.ledger.answers.setdefault(name, value)
            if first != value:
                raise Violation(f"a repeated call was answered otherwise: {name} {first} {value}")
            if first is not value:
                return
        for index, (job_id, new) in enumerate(zip(value.ids, jobs, strict=True)):
            if index in value.existing:
                self._judge_holder(job_id, dict(_pairs(new.options))["unique"])
            else:
                self._accept(job_id, (name, index), new)
        self._judge_keys(
            [self.ledger.jobs[job_id] for job_id in value.ids if job_id not in value.existing.values()]
        )

    def _accept(self, job_id: str, asked_by: Any, new: NewJob) -> None:
        options = {key: str(option) for key, option in _pairs(new.options)}
        due = self.clock.wall + int(options["delay"]) if "delay" in options else int(options.get("at", 0))
        expires = int(options["expires"]) + max(due, self.clock.wall) if "expires" in options else None
        job = Job(
            job_id, asked_by, new.task, new.body.decode(), options, self.clock.t, due, expires_at=expires
        )
        if job_id[0] != str(new.level):
            raise Violation(f"{job_id} was asked for at level {new.level}")
        self.ledger.accept(job)

    def _judge_keys(self, added: Sequence[Job]) -> None:
        for job in added:
            if job.unique and self._holders(job):
                self.reconcile(self.look())
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

    # consumers

    def _saw_register(self, args: Sequence[Any], value: Registered, answers: Answers) -> None:
        if value.consumer in self.renewed:
            raise Violation(f"consumer id {value.consumer} was given twice")
        self.renewed[value.consumer] = self.clock.t

    def _saw_renew(self, args: Sequence[Any], value: Renewed, answers: Answers) -> None:
        for consumer, status, commands in zip(args[1], value.status, answers, strict=True):
            if status == "gone":
                self._judge_state(consumer, "gone")
                continue
            self.renewed[consumer] = self.clock.t
            if commands and status != "command":
                raise Violation(f"renew is silent about the commands of {consumer}")

    def _saw_abandon(self, args: Sequence[Any], value: int, owners: Answers) -> None:
        consumer, alone, suspects = args
        self._leaves(consumer)
        for suspect, owner in zip(suspects, owners, strict=True):
            if alone and owner == consumer:
                self._job(split(suspect)).deaths_alone += 1

    def _saw_retire(self, args: Sequence[Any], value: int, answers: Answers) -> None:
        self._leaves(args[0])

    def _leaves(self, consumer: str) -> None:
        self.excused.add(consumer)
        self.left.setdefault(consumer, self.clock.t)

    def _saw_adopt(self, args: Sequence[Any], value: Adopted, answers: Answers) -> None:
        self._judge_state(args[0], value.state)

    def _judge_state(self, consumer: str, state: str) -> None:
        if state == "clean" or consumer in self.excused:
            return
        silent = self.clock.t - self.renewed[consumer]
        if silent < LEASE - RENEWAL_TOLERANCE:
            raise Violation(f"a living consumer was revoked {silent} ms after its renewal: {consumer}")
        self.excused.add(consumer)

    # taking and settling

    def _saw_take(self, args: Sequence[Any], value: Taken, owners: Answers) -> None:
        consumer, _, n, isolate, settlements = args
        self._judge_settlements(consumer, settlements, value, owners)
        self._judge_state(consumer, value.state)
        rows = [(level, row) for level, row in group_rows(value.groups)]
        alone = [(level, row) for level, row in group_rows(value.alone)]
        if not rows and not alone:
            return
        if self.paused:
            raise Violation("delivered while paused")
        if value.state != "clean":
            raise Violation(f"delivered to a consumer that is {value.state}")
        if len(rows) > n or len(alone) > isolate:
            raise Violation(f"{len(rows)} and {len(alone)} delivered, {n} and {isolate} asked for")
        if value.fence <= self.fence:
            raise Violation(f"the fence did not rise: {value.fence} after {self.fence}")
        self.fence = value.fence
        for level, row in rows + alone:
            self._delivered(consumer, level, row)
        self.delivered += [identify(level, row)[1] for level, row in rows]

    def _saw_finish(self, args: Sequence[Any], value: Finished, owners: Answers) -> None:
        consumer, _, settlements = args
        self._judge_settlements(consumer, settlements, value, owners)
        self._judge_state(consumer, value.state)

    def _judge_settlements(
        self, consumer: str, settlements: Sequence[Settlement], value: Taken | Finished, owners: Answers
    ) -> None:
        refused, wanted = set(value.refused), set(value.wanted)
        for settlement, owner in zip(settlements, owners, strict=True):
            own = owner == consumer
            if settlement.delivery in refused:
                if own:
                    raise Violation(f"refused although it is its own: {settlement} of {consumer}")
            elif not own:
                raise Violation(f"settled what is another's: {settlement} of {consumer}, owned by {owner}")
            elif settlement.delivery not in wanted:
                self._settled(consumer, settlement)

    def _settled(self, consumer: str, settlement: Settlement) -> None:
        outcome, job = settlement.outcome, self._job(settlement.delivery)
        if job.asked and outcome in ("retry", "snooze", "park", "release"):
            outcome = "cancelled"
        if outcome != "release":
            self.given.get(consumer, set()).discard(settlement.delivery)
        if outcome in ("ok", "done"):
            if settlement.outcome == "done":
                job.result = str(dict(_pairs(settlement.pairs)).get("result", ""))
            self.ledger.end(job, "completed")
        elif outcome in ("dead", "cancelled"):
            self.ledger.end(job, outcome)
        elif outcome == "release":
            self.excused.add(consumer)
        else:
            job.deaths_alone = 0
            job.attempts += outcome == "retry"
            job.due = self.clock.wall + int(dict(_pairs(settlement.pairs)).get("delay", 0))
        job.moved = True

    def _delivered(self, consumer: str, level: str, row: Any) -> None:
        delivery, job_id = identify(level, row)
        self.given.setdefault(consumer, set()).add(delivery)
        job = self.ledger.get(job_id)
        if self.job_of.setdefault(delivery, job_id) != job_id:
            raise Violation(f"one delivery id for two jobs: {delivery} {self.job_of[delivery]} {job_id}")
        if job.end:
            raise Violation(f"delivered after its end: {job_id} is {job.end}")
        if job.asked:
            raise Violation(f"delivered although it is asked to stop: {job_id}")
        if job.expires_at is not None and not job.attempts and self.clock.wall > job.expires_at:
            raise Violation(f"delivered after it expired: {job_id}")
        if job.due > self.highest_wall:
            raise Violation(f"delivered before it is due: {job_id}")
        self._judge_content(job, row[1])
        job.deliveries += 1
        job.fresh = False

    @staticmethod
    def _judge_content(job: Job, fields: Any) -> None:
        record = len(fields) > 2
        task, body = (fields[2], fields[3]) if record else fields
        if task.decode() != job.task or (body is not None and body.decode() != job.body):
            raise Violation(f"another job's content was delivered for {job.id}: {task!r} {body!r}")
        if record and int(fields[4]) != job.attempts:
            raise Violation(f"attempt {fields[4]} of {job.id} was delivered, {job.attempts} were spent")

    def _saw_progress(self, args: Sequence[Any], value: bool, owners: Answers) -> None:
        consumer, _, delivery, job_id = args[:4]
        allowed = owners[0] == consumer and not self.ledger.get(job_id).asked
        if value is not allowed:
            raise Violation(f"progress of {delivery} by {consumer} was answered {value}, owner {owners[0]}")

    def _known(self, job_id: str, answered_gone: bool) -> Job | None:
        """The job, or None when a failover forgot it and the server says so."""
        if job_id not in self.ledger.jobs and job_id in self.ledger.issued and answered_gone:
            return None
        return self.ledger.get(job_id)

    def _job(self, delivery: Delivery) -> Job:
        return self.ledger.get(self.job_of.get(delivery, "-".join(delivery)))

    # steering

    def _saw_pause(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.paused = True

    def _saw_resume(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.paused = False

    def _saw_cancel(self, args: Sequence[Any], value: str, answers: Answers) -> None:
        job = self._known(args[0], value == "GONE")
        if job is None:
            return
        if value == "CANCELLED":
            if job.end == "dead":
                self.ledger.drop(job)
            else:
                self.ledger.end(job, "cancelled")
        elif value == "ASKED":
            if job.end or not job.deliveries:
                raise Violation(f"a worker was asked to stop {job.id}, which is {job.end or 'not with any'}")
            job.asked = True
            self._judge_command(job)
        elif job.end is None:
            self.reconcile(self.look())
            if job.end is None:
                raise Violation(f"cancel found nothing of {job.id}, which lives")

    def _judge_command(self, job: Job) -> None:
        shard = self.look()
        for entry in shard.given:
            text = f"cancel {entry.level} {entry.id}"
            if entry.job == job.id and text not in shard.commands.get(entry.owner or "", []):
                raise Violation(f"{entry.owner} is not told to stop {job.id}")

    def _saw_promote(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        job = self.ledger.get(args[0])
        job.moved, job.due = True, 0

    def _saw_retry(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.ledger.reopen(self.ledger.get(args[0]))

    def _saw_retry_step(self, args: Sequence[Any], value: Step, answers: Answers) -> None:
        dead = self.look().zsets["dead"]
        again = [job for job in self.ledger.jobs.values() if job.end == "dead" and job.id not in dead]
        if len(again) != value.touched:
            raise Violation(f"{value.touched} dead jobs were retried, but {len(again)} left the dead letters")
        for job in again:
            self.ledger.reopen(job)

    def _saw_drop(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.ledger.drop(self.ledger.get(args[0]))

    def _saw_purge_step(self, args: Sequence[Any], value: Step, answers: Answers) -> None:
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

    def _saw_job(self, args: Sequence[Any], value: dict[str, str], answers: Answers) -> None:
        job, state = self.ledger.jobs.get(args[0]), value.get("state")
        if job is None:
            return
        if job.end is None and state not in LIVING:
            self.reconcile(self.look())
        kept = (None, "dead") if job.end == "purged" else (None, job.end)
        if state not in (LIVING if job.end is None else kept):
            raise Violation(f"{job.id} is {job.end or 'open'}, and shown as {state}")
        if job.end is None and value.get("body", job.body) != job.body:
            raise Violation(f"another job's body is shown for {job.id}: {value}")

    # waiting

    def _saw_wait(self, args: Sequence[Any], value: Ending, answers: Answers) -> None:
        job_id, reply_key = args
        job = self._known(job_id, value.status == "gone")
        if job is None:
            return
        if value.status == WAITING:
            self.ledger.waiters[reply_key] = job_id
        elif not job.end:
            self.reconcile(self.look())
        if value.status == WAITING and job.end:
            raise Violation(f"{job_id} is {job.end} and somebody may wait for it")
        if value.status in ("completed", "dead") and value.status != job.end:
            raise Violation(f"{job_id} is {job.end or 'open'}; who waited was told {value.status}")
        if value.status == "gone" and job.end is None:
            raise Violation(f"{job_id} lives; who waited was told that it is gone")

    def _saw_unwait(self, args: Sequence[Any], value: bool, answers: Answers) -> None:
        self.ledger.waiters.pop(args[1], None)
        self.ledger.told.pop(args[1], None)


def group_rows(groups: Any) -> list[tuple[str, Any]]:
    """``[level, rows, level, rows …]`` as pairs of level and row."""
    return [
        (level.decode(), row) for level, rows in zip(groups[::2], groups[1::2], strict=True) for row in rows
    ]


def identify(level: str, row: Any) -> tuple[Delivery, str]:
    """The delivery of a row, and whose it is."""
    entry = row[0].decode()
    job = row[1][1].decode() if len(row[1]) > 2 else f"{level}-{entry}"
    return (level, entry), job


def split(delivery: str) -> Delivery:
    """``<level>-<entry>`` in its parts."""
    level, _, entry = delivery.partition("-")
    return level, entry


def _pairs(flat: Sequence[Any]) -> list[tuple[str, Any]]:
    return [(str(flat[i]), flat[i + 1]) for i in range(0, len(flat), 2)]


def _owner(answer: Any) -> str | None:
    if isinstance(answer, hiredis.ReplyError) or not answer:
        return None
    owner: str = answer[0][1].decode()
    return owner
