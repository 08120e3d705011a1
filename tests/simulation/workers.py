"""A worker process: takes, runs in slots, settles, adopts after a broken call, registers anew when it was revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulation.ledger import Violation
from simulation.library import CAP, LEASE
from simulation.rows import group_rows, identify
from simulation.runs import Consumer, Run, settle
from simulation.settling import Delivery, Settlement, finish, take
from streamq.errors import StaleCall
from streamq.protocol import consume
from streamq.protocol.consume import RECORD, Taken

if TYPE_CHECKING:
    from simulation.hosts import Host

RETRY_PAUSE = 100
SHORT = (5, 40, 120)  # ms; how long jobs take when nothing more is produced


class Process:
    """A process of a host. An isolate runs one suspect and ends."""

    def __init__(self, host: Host, *, isolate: bool = False) -> None:
        self.host, self.world, self.isolate = host, host.world, isolate
        self.current: Consumer | None = None
        self.olds: list[Consumer] = []
        self.dead = False
        self.idle_since: int | None = None
        self.asleep = False  # whether its last take told it to sleep
        self.busy_until = 0
        self.draining = False  # it makes room to run a suspect alone: nobody else can
        self._served = False  # an isolate that has had its suspect
        self._turns = 0
        self._slots, self._ahead = self.world.scenario.slots, self.world.scenario.ahead

    def consumers(self) -> list[Consumer]:
        """Its registrations, the current one first."""
        return [self.current, *self.olds] if self.current else list(self.olds)

    def break_connections(self) -> None:
        """The server went away: every consumer has to look at what it owns."""
        for consumer in self.consumers():
            consumer.sick = True
        self.idle_since = None
        self._again(self.world.random.randint(1, 50))

    def turn(self, number: int | None = None) -> None:
        """Do what is to be done now. A planned turn is void when another one came before it."""
        if (number is not None and number != self._turns) or self.host.holds(self, self.turn, number):
            return None
        self._turns += 1
        if self.busy_until > self.world.clock.t:
            return self._again(self.busy_until - self.world.clock.t)
        for old in list(self.olds):
            self._wind_up(old)
        if self.current is None and not self._register():
            return None
        return self._work()

    def gone(self, consumer: Consumer) -> None:
        """The server does not know the consumer: its jobs belong to others."""
        self.world.network.seen["consumers gone"] += 1
        if consumer is self.current:
            self.current, self.idle_since = None, None
            if self.isolate:
                return self.host.ended(self)
            self._again(1)
        elif consumer in self.olds:
            self.olds.remove(consumer)
        return None

    # the server

    def _register(self) -> bool:
        registered = self.world.network.send(consume.register, LEASE, "simulated")
        if registered is None:
            self._pause()
            return False
        self.current = Consumer(registered.consumer)
        return True

    def _work(self) -> None:
        consumer = self.current
        assert consumer is not None
        if consumer.sick and not self._adopt(consumer):
            return None
        n, isolate = self._appetite()
        taken = self._take(consumer, n, isolate)
        if taken is None:
            return None
        self.asleep = taken.sleep > 0
        for text in taken.commands:
            self._command(consumer, text)
        for level, row in group_rows(taken.groups):
            self._begin(consumer, level, row)
        for level, row in group_rows(taken.alone):
            self._begin(consumer, level, row, alone=True)
        if taken.state != "clean":
            return self._register_anew(consumer, taken.state)
        if taken.suspects:
            self.host.suspects_wait(self)
        if self.isolate or self.draining:
            return self._proceed_alone(bool(isolate) and not taken.alone)
        return self._sleep(taken, n)

    def _appetite(self) -> tuple[int, int]:
        running = sum(len(consumer.runs) for consumer in self.consumers())
        if self.isolate or self.draining:
            return 0, int(not running and not self._served)
        return max(0, self._slots + self._ahead - running), 0

    def _sleep(self, taken: Taken, n: int) -> None:
        clock = self.world.clock
        if not taken.sleep:
            self.idle_since = None
            return
        got = len(group_rows(taken.groups))
        if got or self.idle_since is None:
            self.idle_since = clock.t
        jitter = self.world.random.uniform(0.8, 1) if taken.sleep >= CAP else 1
        self._again(int(taken.sleep * jitter))

    def _proceed_alone(self, nothing_came: bool) -> None:
        self.idle_since = None
        consumer = self.current
        assert consumer is not None
        if consumer.runs or consumer.settled or not (self._served or nothing_came):
            return None
        if self.isolate:
            if self.world.network.send(consume.retire, consumer.id) is None:
                return self._pause()
            return self.host.ended(self)
        self.draining = self._served = False
        return self._again(1)

    def _take(self, consumer: Consumer, n: int, isolate: int) -> Taken | None:
        sent = dict(consumer.settled)
        try:
            taken = self.world.network.send(
                take, consumer.id, consumer.generation, n, isolate, list(sent.values())
            )
        except StaleCall as error:
            raise Violation(f"a live take is stale: {error}") from error
        if taken is None:
            self._failed(consumer)
            return None
        self._sent(consumer, sent, taken.wanted)
        return taken

    def _sent(self, consumer: Consumer, sent: dict[Delivery, Settlement], wanted: list[Delivery]) -> None:
        for delivery in sent:
            consumer.settled.pop(delivery, None)
        for delivery in wanted:
            consumer.settled[delivery] = Settlement("done", delivery, ("result", f"r{delivery[1]}"))
        if wanted:
            self._again(1)

    def _wind_up(self, old: Consumer) -> None:
        """An earlier registration settles what it still has, then retires."""
        if old.sick and not self._adopt(old):
            return None
        sent = dict(old.settled)
        if sent:
            finished = self.world.network.send(finish, old.id, old.generation, list(sent.values()))
            if finished is None:
                return self._failed(old)
            self._sent(old, sent, finished.wanted)
            if finished.state == "unknown":
                return self.gone(old)
        if not old.runs and not old.settled:
            if self.world.network.send(consume.retire, old.id) is None:
                return self._failed(old)
            self.olds.remove(old)
        return None

    def _adopt(self, consumer: Consumer) -> bool:
        consumer.generation += 1
        try:
            adopted = self.world.network.send(consume.adopt, consumer.id, consumer.generation)
        except StaleCall as error:
            raise Violation(f"a live adopt is stale: {error}") from error
        if adopted is None:
            self._failed(consumer)
            return False
        consumer.sick = False
        if adopted.state == "unknown":
            self.gone(consumer)
            return False
        self._compare(consumer, adopted.groups)
        return True

    def _compare(self, consumer: Consumer, groups: Any) -> None:
        """What it owns, against what it believes to own. Sometimes it repeats a settlement unseen: that must be safe."""
        rows = {identify(level, row)[0]: (level, row) for level, row in group_rows(groups)}
        for delivery in [delivery for delivery in consumer.runs if delivery not in rows]:
            del consumer.runs[delivery]
        if self.world.random.random() < 0.6:
            for delivery in [delivery for delivery in consumer.settled if delivery not in rows]:
                del consumer.settled[delivery]
        for delivery, (level, row) in rows.items():
            if delivery not in consumer.runs and delivery not in consumer.settled:
                self._begin(consumer, level, row, alone=self.isolate or self.draining)

    def _register_anew(self, consumer: Consumer, state: str) -> None:
        self.idle_since = None
        if state == "unknown":
            return self.gone(consumer)
        self.world.network.seen["registered anew"] += 1
        self.olds.append(consumer)
        self.current = None
        return self._again(1)

    def _failed(self, consumer: Consumer) -> None:
        consumer.sick = True
        self._pause()

    def _pause(self) -> None:
        self.idle_since = None
        self.busy_until = self.world.clock.t + RETRY_PAUSE
        self._again(RETRY_PAUSE)

    def _again(self, delay: int) -> None:
        self.world.clock.after(delay, self.turn, self._turns)

    # running

    def _begin(self, consumer: Consumer, level: str, row: Any, *, alone: bool = False) -> None:
        delivery, job = identify(level, row)
        consumer.runs[delivery] = Run(job, plain=row[1] != RECORD)
        self._served = self._served or alone
        self._fill_slots()

    def _fill_slots(self) -> None:
        running = sum(run.started for consumer in self.consumers() for run in consumer.runs.values())
        for consumer in self.consumers():
            for delivery, run in consumer.runs.items():
                if not run.started and running < self._slots:
                    running += 1
                    self._start(consumer, delivery, run)

    def _start(self, consumer: Consumer, delivery: Delivery, run: Run) -> None:
        run.started = True
        world = self.world
        job = world.ledger.jobs.get(run.job)
        if job is not None and job.poison:
            world.clock.after(20, self._killed_by, consumer, delivery, run)
            return
        durations = world.scenario.durations if world.producing else SHORT
        world.clock.after(world.random.choice(durations), self._finish, consumer, delivery, run)
        if world.random.random() < 0.05:
            world.clock.after(2, self._tell, consumer, delivery, run)

    def _killed_by(self, consumer: Consumer, delivery: Delivery, run: Run) -> None:
        if self.host.holds(self, self._killed_by, consumer, delivery, run):
            return
        if consumer.runs.get(delivery) is run:
            self.world.network.seen["killed by poison"] += 1
            self.host.crashed(self)

    def _tell(self, consumer: Consumer, delivery: Delivery, run: Run) -> None:
        if not self.dead and consumer.runs.get(delivery) is run and not consumer.sick:
            self.world.network.send(
                consume.progress, consumer.id, consumer.generation, delivery, run.job, ("fraction", "0.5")
            )

    def _finish(self, consumer: Consumer, delivery: Delivery, run: Run) -> None:
        if (
            self.host.holds(self, self._finish, consumer, delivery, run)
            or consumer.runs.get(delivery) is not run
        ):
            return
        del consumer.runs[delivery]
        consumer.settled[delivery] = self._struck(delivery, run) or settle(
            delivery, run, self.world.random, producing=self.world.producing
        )
        self._fill_slots()
        self._again(1)

    def _struck(self, delivery: Delivery, run: Run) -> Settlement | None:
        """Sometimes it is handed back for a strike: one that stands, or that the worker believes to stand."""
        strikes = list(self.world.ledger.strikes)[-4:]
        if run.asked or not strikes or not self.world.producing or self.world.random.random() > 0.06:
            return None
        return Settlement("strike", delivery, ("reason", self.world.random.choice(strikes)))

    def _command(self, consumer: Consumer, text: str) -> None:
        word, *words = text.split(" ")
        if word == "dead":
            self.world.witness.heard_of_death(*words)
            return
        if word == "strikes":
            return
        if word != "cancel":
            raise Violation(f"a command that nobody knows: {text}")
        level, entry = words
        run = consumer.runs.get((level, entry))
        if run is not None and not run.asked:
            run.asked = run.started = True
            self.world.clock.after(1, self._finish, consumer, (level, entry), run)
