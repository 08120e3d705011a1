"""Producers: several processes with several channels each; a call is repeated until its outcome is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulation.clock import GRID, HOUR
from simulation.ledger import Violation
from simulation.uniqueness import REVISED
from streamq.errors import StaleCall, UniqueConflict
from streamq.protocol.enqueue import ANONYMOUS, NewJob, enqueue

if TYPE_CHECKING:
    from simulation.world import World

LEVELS = (1, 5, 9)
SURGE = 5_000  # ms; every fourth of these a producer of a surging world works six times as fast


class Channel:
    """One channel of one producer: one call at a time."""

    def __init__(self, world: World, producer: str, number: int) -> None:
        self.world, self.producer, self.number = world, producer, number
        self.seq = 0
        self.batch: list[NewJob] = []
        world.clock.after(world.random.randint(0, 500 // GRID) * GRID, self._produce)

    def _produce(self) -> None:
        if not self.world.producing:
            return
        self.seq += 1
        size = self.world.random.choice((1, 1, 2, 3, 4, 12))
        self.batch = [self._invent(index) for index in range(size)]
        self._attempt(self.producer if self.world.random.random() < 0.95 else ANONYMOUS)

    def _attempt(self, producer: str) -> None:
        world = self.world
        try:
            added = world.network.send(enqueue, producer, self.number, self.seq, self.batch)
        except StaleCall as error:
            raise Violation(f"a live enqueue is stale: {error}") from error
        except UniqueConflict:
            world.network.seen["conflicts"] += 1
        else:
            if added is None and producer != ANONYMOUS:
                return world.clock.after(100, self._attempt, producer)
            if added is not None:
                world.network.seen["jobs"] += len(added.ids) - len(added.existing)
                world.clients.notice([job for i, job in enumerate(added.ids) if i not in added.existing])
        return self._rest()

    def _rest(self) -> None:
        scenario, clock = self.world.scenario, self.world.clock
        surge = scenario.surges and (clock.t // SURGE) % 4 == 3
        longest = scenario.pause_between_batches // (6 if surge else 1)
        clock.after(self.world.random.randint(1, longest // GRID) * GRID, self._produce)

    def _invent(self, index: int) -> NewJob:
        random = self.world.random
        body = f"{self.producer}-{self.number}-{self.seq}-{index}"
        if random.random() < self.world.scenario.poison:
            body = f"poison-{body}"
        options: list[str | int] = []
        if random.random() < 0.2:
            options += self._unique()
        if "debounce" not in options and random.random() < self.world.scenario.delayed:
            options += self._due()
        if random.random() < 0.06:
            options += ["expires", random.choice((50, 500, 5000))]
        if random.random() < 0.05:
            options += ["within", random.choice((50, 500, 5000))]
        if random.random() < 0.08:
            options += ["tags", random.choice(("red", "red,blue", "blue"))]
        if random.random() < 0.04:
            options += ["record", 1]
        return NewJob("simulated", body.encode(), random.choice(LEVELS), tuple(options))

    def _due(self) -> list[str | int]:
        random = self.world.random
        delay = random.randint(1, random.choice((300, 3000)))
        if random.random() < 0.1:
            delay += HOUR  # due at once after a step of the clock
        if random.random() < 0.5:
            return ["delay", delay]
        return ["at", self.world.clock.wall + delay]

    def _unique(self) -> list[str | int]:
        random = self.world.random
        if random.random() < 0.6:
            return self._revising()
        until = random.choice(("done", "done", "start", "for"))
        mode: str | int = 60_000 if until == "for" else until
        conflict = random.choice(("existing", "existing", "reject"))
        return ["unique", f"{until}-{random.randint(0, 3)}", "until", mode, "on_conflict", conflict]

    def _revising(self) -> list[str | int]:
        """Of a few keys that all rules share: so every rule meets holders of every other one."""
        random = self.world.random
        key: list[str | int] = ["unique", f"{REVISED}-{random.randint(0, 2)}"]
        rule = random.choice(
            ("latest", "latest", "latest", "replace", "debounce", "debounce", "existing", "start")
        )
        if rule == "debounce":
            longest = ["longest", random.choice((300, 2_000))] if random.random() < 0.8 else []
            return [*key, "debounce", random.choice((100, 500)), *longest]
        if rule == "start":
            return [*key, "until", "start"]
        parts = random.choice(("", "", "arguments", "time", "priority", "time,priority"))
        return [*key, "on_conflict", rule, *(("replace", parts) if rule == "replace" and parts else ())]
