"""The driver: calls of producers, workers and operators on one shard, at virtual times, each held against the model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Any

from lanes.model import Broken, Job, Model, Rule
from shards import NOW, Shard
from simulation.library import LEASE

__all__ = ["LANES", "RULES", "World"]

RULES = {
    "api": Rule(rate=8, burst=4),
    "tenant:*": Rule(rate=30, burst=6, slots=3),
    "account:*": Rule(slots=1, ordered=True),
    "costly": Rule(rate=60, burst=20),
    "hook": Rule(fails=3),
    "provider": Rule(slots=4),
}
WORDS = {
    "api": "rate=8 burst=4",
    "tenant:*": "rate=30 burst=6 slots=3",
    "tenant:vip": "weight=3",
    "account:*": "slots=1 ordered=1",
    "costly": "rate=60 burst=20",
    "hook": "fails=3 open=400",
    "provider": "slots=4",
}
LANES = (
    *("tenant:a|api", "tenant:b|api", "tenant:vip|api", "tenant:c", "api", "free:x"),
    *("account:1", "account:2", "account:3|provider", "costly*", "tenant:a|costly*", "hook", "tenant:b|hook"),
)
SETTLED = ("ok", "done", "retry", "snooze", "limited", "dead", "release", "cancelled")
WEIGHTS = (55, 8, 10, 4, 8, 4, 6, 2)
VIP = Rule(rate=30, burst=6, slots=3)


@dataclass(slots=True)
class Worker:
    """One consumer: what it has, and whether it renews its lease."""

    id: str
    has: dict[tuple[str, str], Job] = field(default_factory=dict)
    silent: bool = False


class World:
    """A shard with lanes, its model, and what can be done to both. ``random`` decides what the caller leaves open."""

    def __init__(self, shard: Shard, random: Random) -> None:
        self.shard, self.random = shard, random
        self.model = Model(dict(RULES) | {"tenant:vip": VIP})
        self.workers: list[Worker] = []
        self.paused, self.renewed, self.sets_back = False, 0, random.random() < 0.5
        self.counts = {"enqueued": 0, "handed out": 0, "kills": 0, "leases": 0}
        shard.call("limit_declare", *(part for pair in WORDS.items() for part in pair))
        for _ in range(3):
            self.hire()

    # producers

    def enqueue(self, lane: str, jobs: int = 1, level: int = 5, cost: float = 1) -> None:
        """Jobs of one lane: many in one spec, single ones with a record."""
        text = f"{cost:g}"
        if jobs == 1 and self.random.random() < 0.3:
            spec: list[object] = [f"{level}:4", "task", "body", "lane", lane, "cost", text]
            spec = [f"{level}:6", *spec[1:], "tags", "x"] if self.random.random() < 0.5 else spec
        else:
            spec = [f"{level}={jobs}", "task", f"{lane} {text}", *["body"] * jobs]
        for entry in self.shard.enqueue(*spec):
            self.model.enter(Job(f"{level}-{entry}", f"{level}:{lane}", cost))
            self.counts["enqueued"] += 1

    # workers

    def hire(self) -> None:
        """One more consumer."""
        self.workers.append(Worker(self.shard.call("register", LEASE, "test")[0].decode()))

    def take(self, worker: Worker, n: int, settlements: list[object] | None = None) -> None:
        """Take, and hold what comes against the model; now and then also what did not come."""
        reply = self.shard.call("take", worker.id, 0, n, 2, *(settlements or []))
        state, sleep = reply[0].decode(), reply[4]
        got = 0
        for groups in (reply[9], reply[10]):
            for level, rows in zip(groups[::2], groups[1::2], strict=True):
                for entry, what, value in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                    job_id = (value[0] if what == b"@" else what.partition(b" ")[0]).decode()
                    self._lose_to_lease(job_id)
                    job = self.model.hand_out(job_id)
                    worker.has[level.decode(), entry.decode()] = job
                    got += 1
        self.counts["handed out"] += got
        if state != "clean":
            self._forsake(worker)
        elif got < n and not self.paused and self.random.random() < 0.15:
            self.look_for_idle_work(sleep)

    def settle(self, worker: Worker, most: int = 99, outcome: str = "", *, take: int = 0) -> None:
        """End some of what it has, with a take of more."""
        ends: list[tuple[tuple[str, str], Job, str, int]] = []
        settlements: list[object] = []
        for delivery in list(worker.has)[:most]:
            job = worker.has.pop(delivery)
            how = outcome or self.random.choices(SETTLED, WEIGHTS)[0]
            delay = self.random.randrange(0, 600)
            settlements += self._settlement(delivery, job, how, delay)
            ends.append((delivery, job, how, delay))
        before = self.shard.now
        refused = self._finish(worker, settlements)
        for delivery, job, how, delay in ends:
            if delivery not in refused:
                self._end(job, how, before + delay)
            elif all(job is not held for other in self.workers for held in other.has.values()):
                job.where = "lost"
        if take:
            self.take(worker, take)

    def kill(self, worker: Worker) -> None:
        """Its process dies; some of what it ran is suspected."""
        suspects = [f"{level}-{entry}" for level, entry in worker.has if self.random.random() < 0.3]
        self.shard.call("abandon", worker.id, "shared", 0, *suspects)
        self.counts["kills"] += 1
        self._forsake(worker)

    def silence(self, worker: Worker) -> None:
        """It renews no more: its lease will end."""
        worker.silent = True
        self.counts["leases"] += 1

    def step(self, ms: int) -> None:
        """Time goes on; who lives renews."""
        self.shard.now += ms
        self.model.passes(ms, self.shard.now)
        self.shard.call("recover")
        living = [worker for worker in self.workers if not worker.silent]
        if abs(self.shard.now - self.renewed) > LEASE // 4 and living:
            self.renewed = self.shard.now
            reply = self.shard.call("renew", LEASE, *(worker.id for worker in living))
            for worker, status in zip(living, reply[1:], strict=True):
                if status == b"gone":
                    self._forsake(worker)

    # operators

    def cancel(self, job: Job) -> None:
        """Cancel a job that waits."""
        if self.shard.call("cancel", job.id) == b"CANCELLED":
            self.model.cancel(job)

    def set_limit(self, key: str, rate: float, burst: float) -> None:
        """An operator changes a bucket."""
        self.shard.call("limit_set", key, f"rate={rate:g} burst={burst:g}", "anna")
        self.model.rules[key] = self.model.rule(key)._replace(rate=rate, burst=burst)

    def pause(self, paused: bool) -> None:
        """Pause or resume the queue."""
        self.shard.call(*(("pause", "") if paused else ("resume",)))
        self.paused = paused

    def stop(self, key: str, ms: int) -> None:
        """Shut a limit for a while."""
        self.shard.call("limit_stop", key, ms, "anna")

    def spend(self, key: str, tokens: float) -> None:
        """A job took more, or less, than it had said."""
        self.shard.call("limit_spent", key, f"{tokens:g}")
        self.model.take_tokens(key, tokens, at_will=True)

    def acquire(self, key: str, tokens: float) -> None:
        """Somebody outside of jobs wants tokens."""
        if self.shard.call("limit_acquire", key, f"{tokens:g}")[0] == 1:
            self.model.take_tokens(key, tokens)

    # looking

    def check(self) -> None:
        """The counters agree with the structures. Raises Broken."""
        answer = self.shard.call("conservation")
        if answer[0] != 0:
            raise Broken(f"the balance is {answer[0]}: {answer[1:]}")

    def limit(self, key: str) -> dict[str, str]:
        """What the server says of a limit."""
        flat = [
            part.decode() if isinstance(part, bytes) else str(part) for part in self.shard.call("limit", key)
        ]
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def look_for_idle_work(self, sleep: int) -> None:
        """After a take that left room: nothing that waits could have been given, and somebody wakes in time for it."""
        if sleep <= 1 or self.model.was_set_back:  # timers are times on the wall: they come later by as much
            return
        watched = self.shard.client.hget(self.shard.key("watch"), "due")
        wakes = min(sleep, int(float(watched)) - self.shard.now if watched else sleep)
        for lane, waiting in self.model.waiting.items():
            if not waiting:
                continue
            job = self.model.first(lane, self.shard.now)
            if self.model.queues(job):
                continue
            opens = self._opens_in(job)
            if opens == 0 and wakes > 1:
                raise Broken(f"{job.id} of lane {lane} could run, and a take left it; asleep for {sleep} ms")
            if opens is not None and wakes > opens + 1:
                raise Broken(
                    f"{job.id} of lane {lane} can run in {opens} ms, and nobody wakes for {wakes} ms"
                )

    def drain(self) -> None:
        """Nothing new comes, all succeeds: everything ends, and nothing of lanes is left. Raises Broken."""
        if self.paused:
            self.pause(False)
        for round_ in range(3000):
            if all(job.where == "ended" for job in self.model.jobs.values()):
                break
            self._let_all_work()
            self.step(self.random.choice((5, 40, 300)) if round_ < 2000 else 2000)
        left = [job for job in self.model.jobs.values() if job.where != "ended"]
        if left:
            raise Broken(
                f"{len(left)} jobs never ended, as {left[0]}: {self.shard.call('explain', left[0].id)}"
            )
        self._look_at_what_is_left()

    def _let_all_work(self) -> None:
        living = [worker for worker in self.workers if not worker.silent]
        if not living:
            self.hire()
        for worker in living:
            self.take(worker, 10)
            self.settle(worker, outcome="ok")

    def _look_at_what_is_left(self) -> None:
        for _ in range(5):  # sweeps
            self.step(21_000)
            self.hire()
        names = ("lanes", "laned", "timers", "dropped", "ring:*", "room:*", "lane:*")
        keys = [key for name in names for key in self.shard.client.keys(self.shard.key(name))]
        if keys:
            raise Broken(f"all jobs have ended, and there is still {keys}")
        for key in (
            "api",
            "tenant:a",
            "tenant:b",
            "tenant:c",
            "tenant:vip",
            "account:1",
            "costly",
            "hook",
            "provider",
        ):
            if self.limit(key)["used"] != "0":
                raise Broken(f"all jobs have ended, and {key} is still held: {self.limit(key)}")
        self.check()

    # within

    def _settlement(self, delivery: tuple[str, str], job: Job, how: str, delay: int) -> list[object]:
        level, entry = delivery
        if how == "ok" and level == "l":
            return ["ok", level, 1, "task*1", entry, job.id]
        if how == "ok":
            return ["ok", level, 1, "task*1", entry]
        pairs = ["delay", delay] if how in ("retry", "snooze", "limited") else []
        return [how, level, entry, len(pairs), *pairs]

    def _finish(self, worker: Worker, settlements: list[object]) -> set[tuple[str, str]]:
        if not settlements:
            return set()
        reply = self.shard.call("finish", worker.id, 0, *settlements)
        flat = [part.decode() for part in reply[1]]
        if reply[0] != b"clean":
            self._forsake(worker)
        return set(zip(flat[::2], flat[1::2], strict=True))

    def _end(self, job: Job, how: str, due: int) -> None:
        is_ordered = any(self.model.rule(key).ordered for key, _ in self.model.keys(job))
        if how == "release":
            job.where = "lost"
        elif how == "limited" or (how in ("retry", "snooze") and is_ordered):
            self.model.leave(job, "waiting")
        elif how in ("retry", "snooze"):
            self.model.leave(job, "delayed", due)
        else:
            self.model.leave(job, "ended")

    def _lose_to_lease(self, job_id: str) -> None:
        """What a silent worker had may come to others."""
        for worker in self.workers:
            for delivery, job in list(worker.has.items()):
                if worker.silent and job.id == job_id:
                    del worker.has[delivery]
                    job.where = "lost"

    def _forsake(self, worker: Worker) -> None:
        """What it had is lost; another takes its place."""
        for job in worker.has.values():
            job.where = "lost"
        if worker in self.workers:
            self.workers.remove(worker)
            self.hire()

    def _opens_in(self, job: Job) -> int | None:
        """In how many ms time alone lets the job pass; None when that takes more than time."""
        waits = 0
        for key, price in self.model.keys(job):
            said, rule = self.limit(key), self.model.rule(key)
            if said["breaker"] in ("open", "half-open") or (rule.slots and int(said["used"]) >= rule.slots):
                return None
            waits = max(waits, int(said["closed_until"]) - self.shard.now)
            if rule.rate:
                lacks = min(price, rule.burst) - float(said["tokens"])
                waits = max(waits, math.ceil(lacks / rule.rate * 1000) if lacks > 1e-9 else 0)
        return waits


def randomly(world: World, random: Random, steps: int) -> None:
    """So many random steps of everybody. Raises Broken."""
    for _ in range(steps):
        what: Any = random.choices(
            ("enqueue", "flood", "take", "settle", "kill", "silence", "operator", "step"),
            (20, 3, 25, 25, 2, 1, 4, 25),
        )[0]
        worker = random.choice([one for one in world.workers if not one.silent] or world.workers)
        if what == "enqueue":
            cost = random.choice((1, 1, 2.5, 7, 33))
            world.enqueue(random.choice(LANES), random.randint(1, 3), random.choice((5, 5, 5, 2, 9)), cost)
        elif what == "flood":
            world.enqueue(random.choice(LANES), random.randint(20, 60))
        elif what == "take":
            world.take(worker, random.randint(0, 8))
        elif what == "settle":
            world.settle(worker, random.randint(1, 6), take=random.choice((0, 3)))
        elif what in ("kill", "silence"):
            (world.kill if what == "kill" else world.silence)(worker)
        elif what == "operator":
            _operate(world, random)
        else:
            world.step(random.choice((0, 1, 7, 40, 120, 300, -30 if world.sets_back else 300)))
        if random.random() < 0.2:
            world.check()


def _operate(world: World, random: Random) -> None:
    what = random.choice(("cancel", "set", "stop", "pause", "spend", "acquire"))
    waiting = [job for lane in world.model.waiting.values() for job in lane]
    if what == "cancel" and waiting:
        world.cancel(world.model.jobs[random.choice(waiting)])
    elif what == "set":
        world.set_limit("api", random.choice((4, 8, 40)), random.choice((1, 4, 9)))
    elif what == "stop":
        world.stop(random.choice(("api", "account:1", "costly")), random.choice((50, 400)))
    elif what == "pause":
        world.pause(not world.paused)
    elif what == "spend":
        world.spend("costly", random.choice((5, -3)))
    elif what == "acquire":
        world.acquire(random.choice(("api", "costly")), random.choice((1, 3)))


def fresh_world(shard: Shard, seed: int) -> World:
    """A world at its beginning."""
    shard.client.flushall()
    shard.now = NOW
    return World(shard, Random(seed))
