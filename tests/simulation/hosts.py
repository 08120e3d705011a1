"""A host: a worker process, its isolates, and the supervisor that renews for them and sees them die.

A host without supervisor renews for its process as long as that lives; nobody sees a death there, so the lease ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simulation.library import HOW, LEASE
from simulation.settling import Delivery
from simulation.workers import Process
from streamq.protocol import consume
from streamq.protocol.call import Call

if TYPE_CHECKING:
    from simulation.world import World

RENEWAL = LEASE // 3 - 50
ISOLATES = 2
DRAINING = 2_000  # ms that suspects wait before a worker without supervisor makes room for one


def abandon(
    anchor: str, now: int, consumer: str, alone: bool, suspects: list[str]
) -> Call[int]:  # positional, as the network passes arguments
    """``consume.abandon`` with positional arguments."""
    return consume.abandon(anchor, now, consumer, alone=alone, how=HOW, suspects=suspects)


class Host:
    """One machine of the fleet."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.supervised = world.scenario.supervised
        self.stopped_until = 0
        self.process = Process(self)
        self.isolates: list[Process] = []
        self._life = 0  # a supervisor that died does nothing more
        self._suspects_since: int | None = None
        world.clock.after(world.random.randint(0, 50), self.process.turn)
        world.clock.after(RENEWAL, self._renew)

    # what patience asks

    @property
    def steady(self) -> bool:
        """Whether it runs, undisturbed by the network."""
        process = self.process
        return (
            self.stopped_until <= self.world.clock.t
            and not process.dead
            and process.busy_until <= self.world.clock.t
            and not any(consumer.sick for consumer in process.consumers())
        )

    @property
    def idle_since(self) -> int | None:
        return self.process.idle_since if self.steady else None

    @property
    def busy_consumer(self) -> str | None:
        """The consumer of a process that has all it can run."""
        current = self.process.current
        return current.id if current and self.steady and not self.process.asleep else None

    @property
    def can_isolate(self) -> bool:
        return self.supervised and self.stopped_until <= self.world.clock.t and not self.isolates

    def known(self) -> dict[str, set[Delivery]]:
        """The deliveries that its process knows, by consumer."""
        return {c.id: c.runs.keys() | c.settled.keys() for c in self.process.consumers()}

    # life

    def holds(self, process: Process, action: Callable[..., object], *args: object) -> bool:
        """Whether the process does nothing now: it is dead, or it is stopped and does it when it goes on."""
        if process.dead:
            return True
        if self.stopped_until > self.world.clock.t:
            self.world.clock.after(self.stopped_until - self.world.clock.t + 1, action, *args)
            return True
        return False

    def stop(self, ms: int) -> None:
        """SIGSTOP to all of it, for that long."""
        self.stopped_until = self.world.clock.t + ms
        self.process.idle_since = None

    def go_on(self) -> None:
        """SIGCONT."""
        self.stopped_until = min(self.stopped_until, self.world.clock.t)

    def crashed(self, process: Process) -> None:
        """A process died; the supervisor sees it, names what had started, and starts another one."""
        self._mark_dead(process)
        if self.supervised:
            for consumer in process.consumers():
                started = [f"{level}-{entry}" for (level, entry), run in consumer.runs.items() if run.started]
                delay = self.world.random.randint(1, 300)
                arguments = (self._life, consumer.id, process.isolate, started)
                self.world.clock.after(delay, self._abandon, *arguments)
        if process is self.process:
            self._replace()
        else:
            self.isolates.remove(process)

    def die(self) -> None:
        """The whole host is lost; another one takes its place."""
        self._life += 1
        for process in (self.process, *self.isolates):
            self._mark_dead(process)
        self.isolates = []
        self._replace()

    def ended(self, isolate: Process) -> None:
        """An isolate has done its work."""
        isolate.dead = True
        if isolate in self.isolates:
            self.isolates.remove(isolate)

    def suspects_wait(self, process: Process) -> None:
        """Suspects wait for a process of their own."""
        clock = self.world.clock
        if self.supervised:
            if len(self.isolates) < ISOLATES and not process.isolate:
                isolate = Process(self, isolate=True)
                self.isolates.append(isolate)
                clock.after(10, isolate.turn)
            return
        self._suspects_since = self._suspects_since or clock.t
        if clock.t - self._suspects_since > DRAINING and not self.process.draining:
            self.process.draining, self._suspects_since = True, None
            clock.after(1, self.process.turn)

    def break_connections(self) -> None:
        """The server went away under all of its processes."""
        for process in (self.process, *self.isolates):
            process.break_connections()

    def _mark_dead(self, process: Process) -> None:
        process.dead, process.idle_since = True, None
        for consumer in process.consumers():
            self.world.patience.died[consumer.id] = self.world.clock.t

    def _replace(self) -> None:
        self.process = Process(self)
        self.world.clock.after(self.world.random.randint(1, 1500), self.process.turn)

    def _abandon(self, life: int, consumer: str, alone: bool, suspects: list[str]) -> None:
        clock = self.world.clock
        if life != self._life:
            return
        if self.stopped_until > clock.t:
            pause = self.stopped_until - clock.t + 1
        elif self.world.network.send(abandon, consumer, alone, suspects) is None:
            pause = 100
        else:
            return
        clock.after(pause, self._abandon, life, consumer, alone, suspects)

    def _renew(self) -> None:
        self.world.clock.after(RENEWAL, self._renew)
        living = [process for process in (self.process, *self.isolates) if not process.dead]
        owners = {consumer.id: (process, consumer) for process in living for consumer in process.consumers()}
        if self.stopped_until > self.world.clock.t or not owners:
            return
        renewed = self.world.network.send(consume.renew, LEASE, list(owners))
        if renewed is None:
            return
        for (process, consumer), status in zip(owners.values(), renewed.status, strict=True):
            if status == "gone":
                process.gone(consumer)
            elif status == "command":
                process.turn()
        if renewed.suspects:
            self.suspects_wait(self.process)
