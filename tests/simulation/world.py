"""One world: everybody in it, its course, and the final account."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random

from servers import Server
from simulation.audits import audit
from simulation.clients import Clients
from simulation.clock import HOUR, Clock
from simulation.connection import Connection
from simulation.disasters import Disasters
from simulation.hosts import Host
from simulation.ledger import Ledger, Violation
from simulation.network import ANCHOR, Network
from simulation.operators import Operators
from simulation.patience import Patience
from simulation.producers import Channel
from simulation.scenario import Kind, Scenario
from simulation.shard import Shard
from simulation.witness import Witness
from streamq.errors import StreamqError
from streamq.protocol import control, inspect

PRODUCERS, CHANNELS = 3, 4
LEFT_AT_THE_END = {"meta", "counts", "consumers", "workers", "alive", "idle", "woken", "watch", "dead"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a world ended. ``digest`` stands for the end of every job; ``server_digest`` is the server's own."""

    seed: int
    kind: Kind
    violation: str
    digest: str
    server_digest: str
    events: int
    worst_oversleep: int
    seen: dict[str, int]


class World:
    """Built on an empty server that has the library; ``run`` once."""

    def __init__(self, server: Server, scenario: Scenario) -> None:
        self.server, self.scenario = server, scenario
        self.clock, self.random, self.ledger = Clock(), Random(scenario.seed), Ledger()
        self.witness = Witness(ANCHOR, self.clock, self.ledger, self.look)
        self.network = Network(Connection(server.socket), self.clock, self.random, self.witness)
        self.patience = Patience(
            self.clock,
            self.ledger,
            self.witness.deliveries,
            calm=not scenario.faulty,
            one_by_one=scenario.one_by_one,
        )
        self.producing = True
        self.network.faulty = scenario.faulty
        self.network.on_wake = self._wake
        self.hosts = [Host(self) for _ in range(scenario.workers)]
        self.clients = Clients(self)
        self.channels = [
            Channel(self, f"p{p}", number) for p in range(PRODUCERS) for number in range(CHANNELS)
        ]
        self.operators, self.disasters = Operators(self), Disasters(self)
        self.clock.after(200, self._check)

    def run(self) -> Outcome:
        """Live, calm down, and account for every job."""
        try:
            violation = self._violation()
            return Outcome(
                self.scenario.seed,
                self.scenario.kind,
                violation,
                self._digest(),
                self._server_digest(),
                self.clock.events,
                self.patience.worst,
                dict(self.network.seen),
            )
        finally:
            self.network.connection.close()

    def look(self) -> Shard:
        """A picture of the shard."""
        return Shard.read(self.network.connection, ANCHOR)

    def _violation(self) -> str:
        try:
            self._live()
            self._account()
        except Violation as error:
            return f"{error} (t={self.clock.t})"
        except StreamqError as error:
            return f"refused: {error!r} (t={self.clock.t})"
        return ""

    def _live(self) -> None:
        self.clock.run(self.scenario.duration)
        self.producing = self.network.faulty = False
        for host in self.hosts:
            host.go_on()
        self.clock.run(12_000)
        self.clock.step(2 * HOUR + self.clock.highest_wall - self.clock.wall)
        self.patience.forget()
        self.clock.run(40_000)
        for _ in range(60):
            if next(self.ledger.open_jobs(), None) is None:
                break
            self.clock.run(10_000)

    def _wake(self, consumer: str, word: str) -> None:
        for host in self.hosts:
            for process in (host.process, *host.isolates):
                if process.current is not None and process.current.id == consumer:
                    process.turn()

    def _check(self) -> None:
        pause = 2_000 if not self.producing else 400 if self.scenario.faulty else 50
        self.clock.after(pause, self._check)
        self._audit()

    def _audit(self) -> Shard:
        shard = self.witness.catch_up()
        wrong = [*audit(shard, self.ledger), *self.witness.deliveries.audit(shard), *self.clients.audit()]
        wrong += self.patience.look(shard, self.hosts)
        balance = self.network.execute(inspect.conservation)
        if balance.difference:
            wrong.append(f"conservation is off by {balance.difference}: {balance.parts}")
        if wrong:
            raise Violation("; ".join(wrong[:3]))
        return shard

    def _account(self) -> None:
        if self.ledger.paused:
            self.network.execute(control.resume)
        shard = self._audit()
        stranded = [f"{job.id} {job.body}" for job in self.ledger.open_jobs()]
        if stranded:
            places = shard.places()
            raise Violation(f"stranded: {[(job, places.get(job.split(' ')[0])) for job in stranded[:5]]}")
        if self.network.under_way:
            raise Violation("the simulation left calls under way")
        left = [entry.delivery for entry in shard.waiting + shard.given + shard.tombs]
        left += [
            name
            for name, value in {**shard.hashes, **shard.zsets}.items()
            if value and name not in LEFT_AT_THE_END
        ]
        left += [f"unique:{key}" for key in shard.unique if shard.ttl[f"unique:{key}"] <= 0]
        left += [
            f"job:{job}"
            for job in shard.records
            if job not in shard.zsets["dead"] and shard.ttl[f"job:{job}"] <= 0
        ]
        living = {consumer.id for host in self.hosts for consumer in host.process.consumers()}
        left += sorted(shard.hashes["consumers"].keys() - living)
        if left:
            raise Violation(f"left at the end: {left[:6]}")

    def _digest(self) -> str:
        lines = sorted(f"{job.id} {job.body} {job.end} {job.deliveries}" for job in self.ledger.jobs.values())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def _server_digest(self) -> str:
        """The server's digest of all keys, without what is its own: the replication id, here and with the consumers."""
        connection = self.network.connection
        connection("HDEL", f"{ANCHOR}:meta", "epoch")
        connection("DEL", f"{ANCHOR}:consumers")
        digest: bytes = connection("DEBUG", "DIGEST")
        return digest.decode()[:16]
