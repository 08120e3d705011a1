"""Seeds on one server, with or without a planted bug."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random

import redis

from lanes.model import Broken
from lanes.world import fresh_world, randomly
from servers import Server
from shards import Shard
from simulation.library import Edit, source

__all__ = ["run_seeds"]

STEPS = 400


def run_seeds(
    kind: str, seeds: Iterable[int], *edits: Edit, steps: int = STEPS
) -> Iterator[tuple[int, str, Counter[str]]]:
    """Each seed with what was broken (empty: nothing), and how much happened."""
    with Server(kind) as server:
        server.raw.function_load(source(*edits), replace=True)
        shard = Shard(server.raw, "sq:{lanes}")
        for seed in seeds:
            broken, counts = "", Counter[str]()
            try:
                world = fresh_world(shard, seed)
                randomly(world, Random(seed), steps)
                world.drain()
                counts.update(world.counts)
            except (Broken, redis.ResponseError) as error:
                broken = f"{type(error).__name__}: {error}"
            yield seed, broken, counts
