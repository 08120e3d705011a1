"""Judges who owns a delivery: the lives of consumers, what they are given, and what they may settle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from simulation.clock import Clock
from simulation.ledger import Job, Ledger, Violation
from simulation.library import LEASE
from simulation.rows import group_rows, identify, pairs, split
from simulation.settling import Delivery, Settlement
from simulation.shard import Shard
from streamq.protocol.consume import RECORD, Adopted, Finished, Registered, Renewed, Row, Taken

Answers = list[Any]
OFFERED_AGAIN = 86_400_000  # ms; what waits for a strike without an end
RENEWAL_TOLERANCE = 60  # ms between the driver's clock and the shard's, after steps


class Deliveries:
    """Each ``saw_<operation>`` gets the arguments, the value, and what the server answered to the questions before it."""

    def __init__(self, clock: Clock, ledger: Ledger, catch_up: Callable[[], object]) -> None:
        self.clock, self.ledger, self.catch_up = clock, ledger, catch_up
        self.fence = 0
        self.epochs = 0  # restarts and failovers; ids stand still for a while after one
        self.epoch_at = 0  # when the last of them was, true time
        self.renewed: dict[str, int] = {}  # consumer -> when its lease began anew, true time
        self.excused: set[str] = set()  # consumers that may be found unclean
        self.left: dict[str, int] = {}  # consumer -> when it was abandoned or retired, true time
        self.given: dict[str, set[Delivery]] = {}  # consumer -> what it was given and has not settled
        self.handed_out: list[str] = []  # jobs that were delivered since this was looked at last
        self._job_of: dict[Delivery, str] = {}

    def new_epoch(self) -> None:
        """The server restarted or failed over: nobody who registered before is clean any more."""
        self.epochs += 1
        self.epoch_at = self.clock.t
        self.excused |= self.renewed.keys()
        self.left.clear()
        self.given.clear()
        self.handed_out.clear()

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

    # consumers

    def saw_register(self, args: Sequence[Any], value: Registered, answers: Answers) -> None:
        if value.consumer in self.renewed:
            raise Violation(f"consumer id {value.consumer} was given twice")
        self.renewed[value.consumer] = self.clock.t

    def saw_renew(self, args: Sequence[Any], value: Renewed, answers: Answers) -> None:
        consumers = args[1]
        commands, leases = answers[: len(consumers)], answers[len(consumers) :]
        for consumer, status, waits, ends in zip(consumers, value.status, commands, leases, strict=True):
            if status == "gone":
                self._judge_state(consumer, "gone")
                continue
            if float(ends or 0) <= 0:
                raise Violation(f"renew is content with {consumer}, which is gone or being emptied")
            if waits and status != "command":
                raise Violation(f"renew is silent about the commands of {consumer}")
            self.renewed[consumer] = self.clock.t

    def saw_abandon(self, args: Sequence[Any], value: int, owners: Answers) -> None:
        consumer, alone, suspects = args
        self._leaves(consumer)
        for suspect, owner in zip(suspects, owners, strict=True):
            if alone and owner == consumer:
                self._job(split(suspect)).deaths_alone += 1

    def saw_retire(self, args: Sequence[Any], value: int, answers: Answers) -> None:
        self._leaves(args[0])

    def _leaves(self, consumer: str) -> None:
        self.excused.add(consumer)
        self.left.setdefault(consumer, self.clock.t)

    def saw_adopt(self, args: Sequence[Any], value: Adopted, answers: Answers) -> None:
        self._judge_state(args[0], value.state)

    def _judge_state(self, consumer: str, state: str) -> None:
        if state == "clean" or consumer in self.excused:
            return
        silent = self.clock.t - self.renewed[consumer]
        if silent < LEASE - RENEWAL_TOLERANCE:
            raise Violation(f"a living consumer was revoked {silent} ms after its renewal: {consumer}")
        self.excused.add(consumer)

    # taking and settling

    def saw_take(self, args: Sequence[Any], value: Taken, owners: Answers) -> None:
        consumer, _, n, isolate, settlements = args
        self._judge_settlements(consumer, settlements, value, owners)
        self._judge_state(consumer, value.state)
        rows = [(level, row) for level, row in group_rows(value.groups)]
        alone = [(level, row) for level, row in group_rows(value.alone)]
        if not rows and not alone:
            return
        if self.ledger.paused:
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
        self.handed_out += [identify(level, row)[1] for level, row in rows]

    def saw_finish(self, args: Sequence[Any], value: Finished, owners: Answers) -> None:
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
        if job.asked and outcome in ("retry", "snooze", "park", "strike", "release"):
            outcome = "cancelled"
        if outcome != "release":
            self.given.get(consumer, set()).discard(settlement.delivery)
        if outcome in ("ok", "done"):
            if settlement.outcome == "done":
                job.result = str(dict(pairs(settlement.pairs)).get("result", ""))
            self.ledger.end(job, "completed")
        elif outcome in ("dead", "cancelled"):
            self.ledger.end(job, outcome)
        elif outcome == "release":
            self.excused.add(consumer)
        else:
            job.deaths_alone, job.given = 0, False
            job.attempts += outcome == "retry"
            told = dict(pairs(settlement.pairs))
            job.due = self.clock.wall + int(told.get("delay", 0))
            if outcome == "park":
                job.due = 0  # how long a pause is, the server says
            if outcome == "strike":
                job.struck = str(told["reason"])
                ends = self.ledger.strikes.get(job.struck, 0)
                job.due = max(job.due, min(ends, self.clock.wall + OFFERED_AGAIN, job.latest + 1))
        job.moved = True

    def _delivered(self, consumer: str, level: str, row: Any) -> None:
        delivery, job_id = identify(level, row)
        self.given.setdefault(consumer, set()).add(delivery)
        job = self.ledger.get(job_id)
        if self._job_of.setdefault(delivery, job_id) != job_id:
            raise Violation(f"one delivery id for two jobs: {delivery} {self._job_of[delivery]} {job_id}")
        if job.end:
            raise Violation(f"delivered after its end: {job_id} is {job.end}")
        if job.follows:
            self.catch_up()
        if job.follows:
            raise Violation(f"delivered before the end of {job.follows}, which it follows: {job_id}")
        if job.asked:
            raise Violation(f"delivered although it is asked to stop: {job_id}")
        if self.clock.wall > job.latest:
            raise Violation(f"delivered after it expired: {job_id}")
        if job.due > self.clock.highest_wall:
            raise Violation(f"delivered before it is due: {job_id}")
        self._judge_content(job, row)
        job.deliveries += 1
        job.fresh, job.given, job.struck = False, True, ""

    @staticmethod
    def _judge_content(job: Job, row: Row) -> None:
        _, task, value = row
        record = task == RECORD
        task, body = (value[1], value[2]) if record else (task, value)
        if task.decode() != job.task or (body is not None and body.decode() != job.body):
            raise Violation(f"another job's content was delivered for {job.id}: {task!r} {body!r}")
        if record and int(value[3]) != job.attempts:
            raise Violation(f"attempt {value[3]} of {job.id} was delivered, {job.attempts} were spent")

    def saw_progress(self, args: Sequence[Any], value: bool, owners: Answers) -> None:
        consumer, _, delivery, job_id = args[:4]
        allowed = owners[0] == consumer and not self.ledger.get(job_id).asked
        if value is not allowed:
            raise Violation(f"progress of {delivery} by {consumer} was answered {value}, owner {owners[0]}")

    def _job(self, delivery: Delivery) -> Job:
        return self.ledger.get(self._job_of.get(delivery, "-".join(delivery)))
