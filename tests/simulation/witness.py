"""Sees the true reply of every executed call, whoever hears of it, and holds it against the ledger.

Before a call that settles, it asks the pending list who owns what: so it knows which settlements must be accepted and
which must be refused. Ends that no reply tells of (expired, convicted, cancelled on the way) it finds by comparing the
ledger with a picture of the shard (``reconcile``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import hiredis

from simulation.clock import Clock
from simulation.deliveries import Deliveries
from simulation.ledger import Job, Ledger, Violation
from simulation.library import HOW
from simulation.rows import split
from simulation.shard import GROUP, Shard
from simulation.steering import Steering
from simulation.uniqueness import revises

Answers = list[Any]


class Witness:
    """The judge of single calls. ``look`` reads a picture of the shard."""

    def __init__(self, anchor: str, clock: Clock, ledger: Ledger, look: Callable[[], Shard]) -> None:
        self.anchor, self.clock, self.ledger, self.look = anchor, clock, ledger, look
        self.deliveries = Deliveries(clock, ledger, self.catch_up)
        self._judges = (self.deliveries, Steering(clock, ledger, look, self.catch_up))

    def questions(self, operation: str, args: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What to ask the server just before a call."""
        if operation == "renew":
            leases = f"{self.anchor}:alive"
            return [
                ("HMGET", f"{self.anchor}:meta", "now", "mono", "grace", "lease", "epoch"),
                ("ZRANGE", leases, 0, 0, "WITHSCORES"),
                *(("EXISTS", f"{self.anchor}:commands:{consumer}") for consumer in args[1]),
                *(("ZSCORE", leases, consumer) for consumer in args[1]),
            ]
        if operation in ("take", "finish"):
            deliveries = [settlement.delivery for settlement in args[-1]]
        elif operation == "abandon":
            deliveries = [split(suspect) for suspect in args[2]]
        elif operation == "progress":
            deliveries = [args[2]]
        else:
            if operation in ("purge_step", "retry_step") or (operation == "enqueue" and revises(args[-1])):
                self.catch_up()
            return []
        return [
            ("XPENDING", f"{self.anchor}:ready:{level}", GROUP, entry, entry, 1)
            for level, entry in deliveries
        ]

    def saw(self, operation: str, args: Sequence[Any], value: Any, answers: Answers) -> None:
        """A call was executed and answered ``value``."""
        if operation == "renew":
            self._judge_recovery(args[1], *answers[:2])
            told = answers[2:]
        else:
            told = [_owner(answer) for answer in answers]
        for judge in self._judges:
            judgement = getattr(judge, f"saw_{operation}", None)
            if judgement:
                judgement(args, value, told)

    def _judge_recovery(self, renewed: Sequence[str], meta: Any, earliest: Any) -> None:
        """Renewing drives recovery: the consumer whose lease ended first is taken from, unless it is in grace."""
        *clocks, epoch = meta
        now, mono, grace, lease = (float(value or 0) for value in clocks)
        step = self.clock.wall - now
        mono += max(0, step)
        if not earliest or step > lease / 2 or mono < grace:
            return
        consumer, ends = earliest[0].decode(), float(earliest[1])
        if consumer in renewed or not 0 < ends < mono - 1:
            return
        shard = self.look()
        if shard.hashes["meta"]["epoch"].encode() == epoch and shard.zsets["alive"].get(consumer, 0) > 0:
            raise Violation(f"the lease of {consumer} is over, and renew did not recover it")

    def catch_up(self) -> Shard:
        """The ledger and the shard agree; the picture of it."""
        shard = self.look()
        self.reconcile(shard)
        return shard

    def reconcile(self, shard: Shard) -> None:
        """Find the ends that no reply told of; what is neither here nor there is lost."""
        places = shard.places()
        for job in list(self.ledger.open_jobs()):
            if job.id not in places:
                self._vanished(job)
            elif places[job.id] == ["dead"]:
                self._convicted(job, shard.records.get(job.id, {}))
        for job_id, found in places.items():
            job = self.ledger.get(job_id)
            if job.end and found != [job.end]:
                raise Violation(f"{job_id} is {job.end} and lives in {found}")

    def heard_of_death(self, job_id: str) -> None:
        """A worker was told of a death that no worker saw."""
        if not self.ledger.get(job_id).poison:
            raise Violation(f"an innocent job is said to be dead: {job_id}")

    def _vanished(self, job: Job) -> None:
        if job.asked:
            self.ledger.end(job, "cancelled")
        elif self.clock.highest_wall > job.latest:
            self.ledger.end(job, "expired")
        else:
            raise Violation(f"lost: {job.id} was accepted, has not ended, and is nowhere")

    def _convicted(self, job: Job, record: Mapping[str, str]) -> None:
        reason = record.get("reason", "nothing")
        if reason not in ("poison", "lost") or not job.poison:
            raise Violation(f"an innocent job was convicted: {job.id} for {reason}")
        if reason == "poison" and job.deaths_alone < 3:
            raise Violation(f"convicted after {job.deaths_alone} deaths alone: {job.id}")
        if reason == "poison" and not record["error"].endswith(f"the last time: {HOW}"):
            raise Violation(f"it is not said how the process of {job.id} died: {record['error']}")
        self.ledger.end(job, "dead")


def _owner(answer: Any) -> str | None:
    if isinstance(answer, hiredis.ReplyError) or not answer:
        return None
    owner: str = answer[0][1].decode()
    return owner
