"""What befalls the fleet and the server: stops, deaths, clock steps, a restart, a failover to a stale copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulation.clock import GRID, HOUR
from simulation.connection import Connection
from simulation.library import WAKES
from simulation.network import ANCHOR
from simulation.scenario import Kind

if TYPE_CHECKING:
    from simulation.ledger import Ledger
    from simulation.world import World

STOPS = (200, 2000, 3100, 3300, 3600, 5000, 9000)


class Disasters:
    """They end when the producers stop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._copy: StaleCopy | None = None
        kind = world.scenario.kind
        if not world.scenario.faulty:
            return
        self._plan(500, 8_000, self._stop)
        self._plan(*world.scenario.between_kills, self._kill)
        self._plan(9_000, 25_000, self._step_clock)
        if kind is Kind.RESTART:
            self._plan(4_000, 15_000, self._restart)
        if kind is Kind.FAILOVER:
            self._plan(2_500, 6_000, self._copy_shard)

    def _plan(self, least: int, most: int, action: Callable[[], object]) -> None:
        def act() -> None:
            if self.world.network.faulty:
                action()
                self.world.clock.after(self.world.random.randint(least, most), act)

        self.world.clock.after(self.world.random.randint(least, most), act)

    def _stop(self) -> None:
        self.world.network.seen["stops"] += 1
        self.world.random.choice(self.world.hosts).stop(self.world.random.choice(STOPS))

    def _kill(self) -> None:
        host = self.world.random.choice(self.world.hosts)
        self.world.network.seen["kills"] += 1
        if self.world.random.random() < self.world.scenario.unseen:
            host.die()
        else:
            host.crashed(host.process)

    def _step_clock(self) -> None:
        self.world.network.seen["clock steps"] += 1
        self.world.clock.step(self.world.random.choice((-HOUR, HOUR)))
        self.world.patience.forget()
        self._copy = None  # a replica is seconds behind, not hours

    def _restart(self) -> None:
        self.world.network.seen["restarts"] += 1
        self.world.network.connection.close()
        self.world.server.restart()
        self.world.network.connection = Connection(self.world.server.socket)
        self._new_epoch(noticed_by=1.0)

    def _copy_shard(self) -> None:
        self._copy = StaleCopy(self.world)
        self.world.clock.after(self.world.random.randint(5, 125) * GRID, self._fail_over, self._copy)

    def _fail_over(self, copy: StaleCopy) -> None:
        if copy is self._copy:
            self.world.network.seen["failovers"] += 1
            copy.take_over()
            self._copy = None
            self._new_epoch(noticed_by=0.5)  # behind a proxy, a connection may outlive its master

    def _new_epoch(self, noticed_by: float) -> None:
        world = self.world
        world.witness.deliveries.new_epoch()
        world.patience.forget()
        world.clients.ask_again()
        for host in world.hosts:
            if world.random.random() < noticed_by:
                host.break_connections()


class StaleCopy:
    """The shard as a replica had it, and what was true then. Its clock may be behind the old master's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._taken_at = world.clock.t
        connection = world.network.connection
        world.witness.catch_up()
        self._ledger: Ledger = world.ledger.copy()
        keys = [key for key in sorted(connection("KEYS", f"{ANCHOR}:*")) if WAKES.encode() not in key]
        dumps = connection.pipeline([question for key in keys for question in (("DUMP", key), ("PTTL", key))])
        self._keys: list[tuple[bytes, Any, int]] = [
            (key, dumps[2 * i], max(0, dumps[2 * i + 1])) for i, key in enumerate(keys)
        ]

    def take_over(self) -> None:
        """It is the master now: what came after it is gone."""
        connection = self.world.network.connection
        connection("FLUSHALL")
        for reply in connection.pipeline([("RESTORE", key, ttl, dump) for key, dump, ttl in self._keys]):
            assert reply == b"OK", reply
        connection("DEBUG", "CHANGE-REPL-ID")
        if self.world.random.random() < 0.7:
            self.world.clock.step(self._taken_at - self.world.clock.t)
        self.world.ledger.restore(self._ledger)
