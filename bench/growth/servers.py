"""The shards of one queue on more and more servers, each of which is a node of a cluster: what a job costs a server.

On one machine they share its cores, so the measure is the processor time of all servers together for each job. When it
stays the same, n servers on n machines do n times as much.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from bench.ground import QUEUE, Run, Server, server_cpu
from bench.growth.curves import point
from bench.growth.direct import BATCH, LEASE_MS, Direct, settled
from servers import free_port
from streamq.protocol import Argument
from streamq.queue import Queue

__all__ = ["measure"]

SERVERS = (1, 2, 4)
JOBS = 200_000
TAKE = 200


def measure(run: Run) -> dict[str, object]:
    """Points ``servers_<n>``, and the cost of a job on the most servers as a multiple of that on one."""
    figures: dict[str, Any] = {}
    for count in SERVERS:
        figures |= point("servers", count, _point(run, count))
    one, most = (figures[f"servers_{count}.server_us_per_job"] for count in (SERVERS[0], SERVERS[-1]))
    return figures | {"servers_cost_ratio": most / one}


def _point(run: Run, count: int) -> dict[str, object]:
    jobs = max(200, int(JOBS * run.scale)) // count
    with contextlib.ExitStack() as stack:
        runs = [replace(run, server=stack.enter_context(_node(run))) for _ in range(count)]
        for one in runs:
            one.server.raw.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)  # it serves 2 s later
        shards = [_Shard(one, number, stack) for number, one in enumerate(runs)]
        before = [server_cpu(one) for one in runs]
        for _ in range(0, jobs, BATCH):
            for shard in shards:
                shard.direct.fill(BATCH)
        added = [server_cpu(one) for one in runs]
        while sum(shard.take() for shard in shards):
            pass
        spent = [server_cpu(one) for one in runs]
        done = sum(shard.taken for shard in shards)
    return {
        "add_server_us": (sum(added) - sum(before)) / done * 1e6,
        "drain_server_us": (sum(spent) - sum(added)) / done * 1e6,
        "server_us_per_job": (sum(spent) - sum(before)) / done * 1e6,
    }


def _node(run: Run) -> Server:
    """A server that owns all slots: what a call costs in a cluster does not depend on who owns the others."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    return Server(run.server.kind, aof=run.server.aof, tcp=True, extra=options)


class _Shard:
    """One shard on its server, with a consumer."""

    def __init__(self, run: Run, number: int, stack: contextlib.ExitStack) -> None:
        app = stack.enter_context(run.app())
        self.direct = Direct(app._client.engine, Queue(QUEUE, shard=number))
        self.consumer = self.direct.engine.run(self.direct.queue.register(LEASE_MS)).consumer
        self.taken, self._settlements = 0, list[Argument]()

    def take(self) -> int:
        """One take, which settles the one before; how many it got."""
        direct = self.direct
        groups = direct.engine.run(
            direct.queue.pop(self.consumer, TAKE, settlements=self._settlements)
        ).groups
        self._settlements = settled(groups)
        got = sum(len(rows) // 3 for rows in groups[1::2])
        self.taken += got
        return got
