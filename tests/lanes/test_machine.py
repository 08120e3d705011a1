"""A Hypothesis state machine over the calls of the simulation's world: what breaks is cut down to the fewest calls."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from lanes.world import LANES, SETTLED, fresh_world
from servers import Server
from shards import Shard
from streamq.library import library

COSTS = st.sampled_from((1, 2.5, 33))


class LanesMachine(RuleBasedStateMachine):
    """Producers, workers and operators; the world holds every take against its model."""

    shard: Shard

    @initialize(seed=st.integers(0, 1_000))
    def begin(self, seed: int) -> None:
        self.world = fresh_world(self.shard, seed)
        self.random = Random(seed)

    @rule(
        lane=st.sampled_from(LANES),
        jobs=st.integers(1, 30),
        level=st.sampled_from((2, 5, 9)),
        cost=st.sampled_from((1, 2.5, 33)),
    )
    def enqueue(self, lane: str, jobs: int, level: int, cost: float) -> None:
        self.world.enqueue(lane, jobs, level, cost)

    @rule(worker=st.integers(0, 2), n=st.integers(0, 8))
    def take(self, worker: int, n: int) -> None:
        self.world.take(self.world.workers[worker % len(self.world.workers)], n)

    @rule(worker=st.integers(0, 2), most=st.integers(1, 6), outcome=st.sampled_from(SETTLED))
    def settle(self, worker: int, most: int, outcome: str) -> None:
        self.world.settle(self.world.workers[worker % len(self.world.workers)], most, outcome)

    @rule(worker=st.integers(0, 2))
    def kill(self, worker: int) -> None:
        self.world.kill(self.world.workers[worker % len(self.world.workers)])

    @rule(ms=st.sampled_from((1, 50, 130, 700, -40)))
    def step(self, ms: int) -> None:
        self.world.step(ms)

    @rule(rate=st.sampled_from((4, 40)), burst=st.sampled_from((1, 9)))
    def set_limit(self, rate: float, burst: float) -> None:
        self.world.set_limit("api", rate, burst)

    @rule(key=st.sampled_from(("api", "account:1", "costly")), ms=st.sampled_from((50, 400)))
    def stop(self, key: str, ms: int) -> None:
        self.world.stop(key, ms)

    @rule()
    def cancel(self) -> None:
        waiting = sorted(job for lane in self.world.model.waiting.values() for job in lane)
        if waiting:
            self.world.cancel(self.world.model.jobs[self.random.choice(waiting)])

    @rule(tokens=st.sampled_from((5, -3)))
    def spend(self, tokens: float) -> None:
        self.world.spend("costly", tokens)

    @rule()
    def check(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.drain()


@pytest.mark.timeout(300)
def test_any_sequence_of_calls_keeps_buckets_slots_and_order_and_lets_every_job_out(
    server: Server, anchor: str
) -> None:
    server.raw.function_load(library().source)
    machine = type("Machine", (LanesMachine,), {"shard": Shard(server.raw, anchor)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
