"""Those who wait for results: register once, then the answer is pushed, exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulation.ledger import Violation
from simulation.network import ANCHOR
from streamq.protocol.results import WAITING, read_push, unwait, wait

if TYPE_CHECKING:
    from simulation.world import World


class Clients:
    """All who wait. ``open_waits`` are the reply keys on which somebody still listens."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.open_waits: dict[str, str] = {}  # reply key -> job
        self._number = 0

    def notice(self, jobs: Sequence[str]) -> None:
        """Jobs were accepted: for some of them somebody waits."""
        random = self.world.random
        for job in jobs:
            if random.random() < 0.1:
                self._number += 1
                reply_key = f"{ANCHOR}:reply:{self._number}"
                self.open_waits[reply_key] = job
                self.world.clock.after(random.choice((1, 1, 200)), self._ask, reply_key)

    def ask_again(self) -> None:
        """Connections broke: whoever still waits says so again."""
        for reply_key in list(self.open_waits):
            self.world.clock.after(self.world.random.randint(1, 300), self._ask, reply_key)

    def audit(self) -> list[str]:
        """An open wait has no answer, and the wait for a job that has ended has exactly one."""
        ledger, connection = self.world.ledger, self.world.network.connection
        keys = [*ledger.waiters, *ledger.told]
        replies = connection.pipeline([("LRANGE", key, 0, -1) for key in keys])
        wrong = []
        for key, pushed in zip(keys, replies, strict=True):
            if len(pushed) != (key in ledger.told):
                wrong.append(f"{key} waits for {ledger.waiters.get(key, ledger.told.get(key))}: {pushed}")
            elif pushed:
                self._judge(key, pushed[0])
        return wrong

    def _judge(self, key: str, pushed: bytes) -> None:
        job_id, ending = read_push(pushed)
        job, end, result = self.world.ledger.told.pop(key)
        self.open_waits.pop(key, None)
        self.world.network.seen["answers"] += 1
        self.world.network.connection("DEL", key)
        if (job_id, ending.status) != (job, end):
            raise Violation(f"who waits for {job}, {end}, was told {job_id} {ending.status}")
        if end == "completed" and (ending.payload or b"").decode() != result:
            raise Violation(f"the result of {job} is {result}, who waits was given {ending.payload!r}")

    def _ask(self, reply_key: str) -> None:
        if reply_key not in self.open_waits:
            return
        world = self.world
        job = self.open_waits[reply_key]
        if job not in world.ledger.jobs:  # forgotten by a failover
            del self.open_waits[reply_key]
            return
        ending = world.network.send(wait, job, reply_key)
        if ending is None:
            world.clock.after(100, self._ask, reply_key)
        elif ending.status != WAITING:
            self.open_waits.pop(reply_key, None)
        elif world.random.random() < 0.1:
            world.clock.after(world.random.choice((50, 500)), self._give_up, reply_key)

    def _give_up(self, reply_key: str) -> None:
        job = self.open_waits.pop(reply_key, None)
        if job is not None and job in self.world.ledger.jobs:
            self.world.network.execute(unwait, job, reply_key)
