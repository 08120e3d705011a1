"""Worlds one after the other on one server, with or without a planted bug."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self

from servers import Server
from simulation.library import ONE_BY_ONE, Edit, source
from simulation.scenario import Scenario
from simulation.world import Outcome, World

DEBUG = ("--enable-debug-command", "yes")


class Servers:
    """The servers of a campaign: one in memory, and one with an append-only file, each started when it is needed."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._running: dict[bool, Server] = {}

    def ready(self, scenario: Scenario, edits: Iterable[Edit] = ()) -> Server:
        """An empty server with the library."""
        durable = scenario.durable
        if durable not in self._running:
            extra = (*DEBUG, "--appendfsync", "always") if durable else DEBUG
            self._running[durable] = Server(self.kind, aof=durable, extra=extra).start()
        server = self._running[durable]
        server.flush()
        numbers = (ONE_BY_ONE,) if scenario.one_by_one else ()
        server.raw.function_load(source(*numbers, *edits), replace=True)
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._running.values():
            server.stop()


def run_seeds(
    kind: str, seeds: Iterable[int], edits: Iterable[Edit] = (), duration: int | None = None
) -> Iterator[Outcome]:
    """The outcome of each seed's world on a server of that kind."""
    edits = tuple(edits)
    with Servers(kind) as servers:
        for seed in seeds:
            scenario = Scenario.of(seed, duration)
            yield World(servers.ready(scenario, edits), scenario).run()
