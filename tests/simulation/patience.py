"""How long things wait beside somebody who could act. Looked at with every audit, in true time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from simulation.clock import Clock
from simulation.deliveries import Deliveries
from simulation.ledger import Ledger
from simulation.library import AGE, CAP, LEASE
from simulation.settling import Delivery
from simulation.shard import PSEUDO, Shard

CALM_BOUND = 60
FAULTY_BOUND = CAP + 500
SETTLING = CAP + 2_000  # after a clock step: a watchman may sleep the cap
OVERTAKING_BOUND = 9 * AGE + 500
COMMAND_BOUND = LEASE // 3 + CAP + 500
LEAVING_BOUND = 2_500  # grace or not, the next calls empty it in parts; twice that where one host makes them
SUSPECT_BOUND = LEASE + CAP


class Observed(Protocol):
    """What patience asks of a host."""

    @property
    def idle_since(self) -> int | None: ...
    @property
    def steady(self) -> bool: ...
    @property
    def busy_consumer(self) -> str | None: ...
    @property
    def can_isolate(self) -> bool: ...
    def known(self) -> dict[str, set[Delivery]]: ...


class Patience:
    """Measures; ``worst`` is the longest oversleep of the world in ms."""

    def __init__(
        self, clock: Clock, ledger: Ledger, deliveries: Deliveries, *, calm: bool, one_by_one: bool
    ) -> None:
        self.clock, self.ledger, self.deliveries = clock, ledger, deliveries
        self.calm, self.one_by_one = calm, one_by_one
        self.worst = 0
        self.died: dict[str, int] = {}  # consumer -> when its process died
        self._awake_since = clock.t  # when the last host went on that could recover anything
        self._eligible: dict[str, int] = {}
        self._commanded: dict[str, int] = {}
        self._suspected: dict[str, int] = {}

    def forget(self) -> None:
        """The world changed (pause, clock step, failover): measure anew."""
        for memory in (self._eligible, self._commanded, self._suspected):
            memory.clear()

    def look(self, shard: Shard, hosts: Sequence[Observed]) -> list[str]:
        """Everything that waits too long."""
        if not any(host.steady and host.known() for host in hosts):
            self._awake_since = self.clock.t
        return [
            *self._overslept(shard, hosts),
            *self._overtaken(shard),
            *self._kept_by_the_dead(shard, hosts),
            *self._unknown_to_owner(shard, hosts),
            *self._untold(shard, hosts),
            *self._unproven(shard, hosts),
            *self._busy_and_idle(shard, hosts),
        ]

    def _overslept(self, shard: Shard, hosts: Sequence[Observed]) -> Iterator[str]:
        due = {job for job, at in shard.zsets["delayed"].items() if at <= self.clock.wall}
        places = shard.places().items()
        waiting = {job: where[0] for job, where in places if where[0] in ("ready", "lost") or job in due}
        if self.ledger.paused:
            waiting = {}
        self._eligible = {job: self._eligible.get(job, self.clock.t) for job in waiting}
        idle = [host.idle_since for host in hosts if host.idle_since is not None]
        if not idle:
            return
        strict = self.calm and self.clock.t > self.clock.stepped_at + SETTLING
        for job, since in self._eligible.items():
            over = self.clock.t - max(since, min(idle))
            self.worst = max(self.worst, over)
            if over > (CALM_BOUND if strict else FAULTY_BOUND):
                yield f"overslept: {job}, {waiting[job]}, waits {over} ms beside an idle worker"

    def _overtaken(self, shard: Shard) -> Iterator[str]:
        """Judged by true time; where ids stood still after a new epoch, by the ids, which are the shard's time."""
        delivered, self.deliveries.handed_out = self.deliveries.handed_out, []
        if not self.one_by_one:
            return
        oldest = min(self._unmoved([entry.job for entry in shard.waiting]), default=None)
        for came, name in self._unmoved(delivered):
            if oldest and came > oldest[0] + OVERTAKING_BOUND:
                yield f"{oldest[1]} was overtaken by {name}, which came {came - oldest[0]} ms later"

    def _unmoved(self, names: Sequence[str]) -> Iterator[tuple[int, str]]:
        for name in names:
            job = self.ledger.jobs.get(name)
            if job and not job.moved and not job.due and job.deliveries <= 1:
                yield (int(name.split("-")[1]) if self.deliveries.epochs else job.born), name

    def _kept_by_the_dead(self, shard: Shard, hosts: Sequence[Observed]) -> Iterator[str]:
        for consumer, died in list(self.died.items()):
            if consumer not in shard.hashes["consumers"]:
                del self.died[consumer]
                continue
            renewed = self.deliveries.renewed.get(consumer, 0)
            graced = max(self.clock.stepped_at, self.deliveries.epoch_at)
            since = max(died, renewed, graced, self._awake_since)
            if self.clock.t - since > 3 * LEASE:
                yield f"a dead consumer keeps its deliveries: {consumer}"
        for consumer, left in list(self.deliveries.left.items()):
            if consumer not in shard.hashes["consumers"]:
                del self.deliveries.left[consumer]
            elif self.clock.t - max(left, self._awake_since) > LEAVING_BOUND * (2 if len(hosts) == 1 else 1):
                yield f"{consumer} left and still keeps deliveries"

    def _unknown_to_owner(self, shard: Shard, hosts: Sequence[Observed]) -> Iterator[str]:
        known = {consumer: jobs for host in hosts if host.steady for consumer, jobs in host.known().items()}
        for entry in shard.given:
            if entry.owner in self.deliveries.excused:
                continue  # after a failover it may own what it settled; it retires before long
            if entry.owner in known and (entry.level, entry.id) not in known[entry.owner]:
                yield f"{entry.delivery} belongs to {entry.owner}, whose process does not know it"

    def _busy_and_idle(self, shard: Shard, hosts: Sequence[Observed]) -> Iterator[str]:
        busy = {host.busy_consumer for host in hosts if host.busy_consumer} - self.deliveries.excused
        for consumer in sorted(busy & shard.zsets["idle"].keys()):
            yield f"busy and counted as idle: {consumer}"

    def _untold(self, shard: Shard, hosts: Sequence[Observed]) -> Iterator[str]:
        listening = {consumer for host in hosts if host.steady for consumer in host.known()}
        self._commanded = {
            consumer: self._commanded.get(consumer, self.clock.t)
            for consumer in shard.commands
            if consumer in listening
        }
        for consumer, since in self._commanded.items():
            if self.clock.t - since > COMMAND_BOUND:
                yield f"{consumer} was not told its commands for {self.clock.t - since} ms"

    def _unproven(self, shard: Shard, hosts: Sequence[Observed]) -> Iterator[str]:
        suspects = [entry.delivery for entry in shard.given if entry.owner == PSEUDO[1]]
        able = any(host.can_isolate for host in hosts) and not self.ledger.paused
        self._suspected = {name: self._suspected.get(name, self.clock.t) for name in suspects if able}
        for delivery, since in self._suspected.items():
            if self.clock.t - since > SUSPECT_BOUND:
                yield f"suspect {delivery} waits {self.clock.t - since} ms beside a host that could run it alone"
