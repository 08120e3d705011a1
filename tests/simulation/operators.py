"""People at the controls: cancel, pause and resume, strike, promote, retry dead jobs, drop them, purge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.ledger import Violation
from simulation.network import ANCHOR
from simulation.shard import PSEUDO
from streamq.errors import JobNotFound, UniqueConflict, WrongState
from streamq.protocol import control, inspect
from streamq.protocol import strikes as protocol

LISTS = ("pending", "active", "delayed", "following", "dead", "tag:red")

if TYPE_CHECKING:
    from simulation.world import World


class Operators:
    """They stop when the producers do; then nothing stays paused."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._plan(50, 600, self._cancel)
        self._plan(500, 2_500, self._handle_dead)
        self._plan(500, 2_500, self._promote)
        self._plan(12_000, 30_000, self._purge)
        self._plan(300, 1_500, self._look_around)
        world.clock.after(7_000, self._pause)
        world.clock.after(2_000, self._strike)

    def _plan(self, least: int, most: int, action: object) -> None:
        def act() -> None:
            if self.world.producing:
                action()  # type: ignore[operator]
                self.world.clock.after(self.world.random.randint(least, most), act)

        self.world.clock.after(self.world.random.randint(least, most), act)

    def _cancel(self) -> None:
        recent = list(self.world.ledger.jobs)[-30:]
        if self.world.random.random() < 0.2:
            recent = [entry.job for entry in self.world.look().given if entry.owner in PSEUDO]
        if recent:
            answer = self.world.network.send(control.cancel, self.world.random.choice(recent))
            self.world.network.seen[f"cancel {answer}"] += 1

    def _pause(self) -> None:
        world = self.world
        if not world.producing and not world.ledger.paused:
            return
        world.network.execute(control.resume if world.ledger.paused else control.pause)
        world.patience.forget()
        pause = (
            world.random.randint(200, 2_000) if world.ledger.paused else world.random.randint(5_000, 15_000)
        )
        world.clock.after(pause, self._pause)

    def _strike(self) -> None:
        """One more strike, or one less; in the end all are lifted, again after a failover that brought one back."""
        world, strikes = self.world, self.world.ledger.strikes
        standing = [name for name, ends in strikes.items() if ends > world.clock.wall]
        if not world.producing:
            for name in standing:
                world.network.execute(protocol.unstrike, name)
        elif standing and world.random.random() < 0.6:
            world.network.execute(protocol.unstrike, world.random.choice(standing))
        else:
            options = world.random.choice(({}, {"for": 400}, {"for": 4_000}))
            world.network.execute(protocol.strike, f"s{world.clock.t}", "simulated", {}, options)
        world.clock.after(world.random.randint(500, 4_000), self._strike)

    def _promote(self) -> None:
        delayed = self.world.network.connection("ZRANGE", f"{ANCHOR}:delayed", 0, -1)
        if delayed:
            job = self.world.random.choice(delayed).decode()
            try:
                self.world.network.send(control.promote, job)
            except WrongState:
                self.world.network.seen["promoted too late"] += 1

    def _handle_dead(self) -> None:
        random, network = self.world.random, self.world.network
        dead = [job.id for job in self.world.ledger.jobs.values() if job.end == "dead"]
        if not dead:
            return
        job, chance = random.choice(dead), random.random()
        if chance < 0.15:
            network.execute(control.retry_step, "-", "0", random.choice((1, 3, 100)))
        elif chance < 0.3:
            network.execute(control.drop, job)
        else:
            try:
                network.send(control.retry, job)
            except (JobNotFound, UniqueConflict):
                network.seen["retry refused"] += 1

    def _purge(self) -> None:
        what, step = (
            self.world.random.choice(("pending", "delayed", "following", "dead")),
            control.Step(0, "-", "0"),
        )
        while step.cursor:
            step = self.world.network.execute(control.purge_step, what, step.cursor, step.bound)
            self.world.network.seen[f"purged {what}"] += step.touched

    def _look_around(self) -> None:
        """Somebody looks at a job and at a list: in every state there is an answer, and it is true."""
        network, random = self.world.network, self.world.random
        recent = list(self.world.ledger.jobs)[-60:]
        if recent:
            job = random.choice(recent)
            state = network.execute(inspect.job, job).get("state", "unknown")
            sentences = network.execute(inspect.explain, job)
            if sentences[0] != state:
                raise Violation(f"{job} is {state}, and explained as {sentences}")
        page = network.execute(inspect.list_jobs, random.choice(LISTS), "-", 20)
        for row in page.jobs:
            self.world.ledger.get(row.id)
        network.execute(inspect.stats)
        network.execute(inspect.workers)
