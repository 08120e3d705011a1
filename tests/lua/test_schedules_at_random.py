"""Overlap policies under random lives of jobs: ended, failed, lost, cancelled, while ticks are repeated and come late."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from shards import LEASE, Shard

MINUTE = 60_000
STEPS = 150
JOB = ("5", "mail", "body")


class World:
    """One schedule, one worker at a time, and the calls of ticks that were made, any of which may come again."""

    def __init__(self, shard: Shard, overlap: str, seed: int) -> None:
        self.shard, self.overlap, self.random = shard, overlap, random.Random(seed)
        self.consumer = shard.register()
        self.running: list[tuple[str, Any]] = []
        self.calls: list[list[object]] = []
        self.outcomes: Counter[str] = Counter()
        pairs = ("expression", "every minute", "task", "mail", "level", "5", "body", "b", "overlap", overlap)
        shard.call("schedule_put", "s", "api", shard.now + MINUTE, shard.now + MINUTE, len(pairs), *pairs)

    def fields(self) -> dict[str, str]:
        kept = self.shard.client.hgetall(self.shard.key("schedule:s"))
        return {key.decode(): value.decode() for key, value in kept.items()}

    def take(self) -> None:
        """Take, and do as is told: sometimes it is forgotten, as by a worker that dies then."""
        self.shard.call("renew", LEASE, self.consumer)
        reply = self.shard.call("take", self.consumer, 0, 2, 0)
        if reply[0] != b"clean":
            self.consumer, self.running = self.shard.register(), []
            return
        for level, rows in zip(reply[9][::2], reply[9][1::2], strict=True):
            self.running += [(level.decode(), entry) for entry in rows[::3]]
        if b"tick s" in reply[7] and self.random.random() < 0.8:
            self.tick()

    def tick(self) -> None:
        kept = self.fields()
        place = (kept["next_run_at"], kept["due_at"])
        if "queued" in kept:
            self.call("s", kept["revision"], place[0], *place, "-", kept["queued"], *JOB)
        if int(kept["due_at"]) <= self.shard.now:
            following = int(place[0]) + MINUTE
            self.call("s", kept["revision"], place[0], following, following, "-", place[0], *JOB)

    def call(self, *args: object) -> None:
        self.calls.append(list(args))
        self.outcomes[self.shard.call("schedule_tick", *args)[0].decode()] += 1

    def repeat(self) -> None:
        """A call comes once more, late."""
        if self.calls:
            self.outcomes[self.shard.call("schedule_tick", *self.random.choice(self.calls))[0].decode()] += 1

    def end(self) -> None:
        if not self.running:
            return
        level, entry = self.running.pop()
        how = self.random.choice(["done", "dead", "retry", "cancelled", "release"])
        pairs = ("delay", 30_000) if how == "retry" else ()
        self.shard.call("finish", self.consumer, 0, how, level, entry, len(pairs), *pairs)

    def die(self) -> None:
        self.shard.call("abandon", self.consumer, "shared", 0)
        self.consumer, self.running = self.shard.register(), []

    def cancel(self) -> None:
        job = self.fields().get("last_job")
        if job:
            self.shard.call("cancel", job)

    def pass_time(self) -> None:
        self.shard.now += self.random.choice([500, 3_000, 20_000, 60_000, 200_000])

    def step(self) -> None:
        moves = [self.take] * 4 + [self.end] * 2 + [self.pass_time] * 3 + [self.repeat, self.die, self.cancel]
        self.random.choice(moves)()

    def drain(self) -> None:
        """All that is there ends, and so does what waited for that."""
        for _ in range(40):
            self.shard.now += 3_000
            self.take()
            while self.running:
                level, entry = self.running.pop()
                self.shard.call("finish", self.consumer, 0, "done", level, entry, 0)


def jobs(shard: Shard) -> list[dict[str, str]]:
    """The records of the schedule's jobs, with the state that people are told."""
    found = []
    for key in shard.client.scan_iter(shard.key("job:*"), count=1000):
        job = key.decode().rpartition(":job:")[2]
        flat = shard.call("job", job)
        found.append({flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)})
    return found


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue", "cancel"])
def test_no_two_runs_go_on_at_once_and_no_time_has_two_jobs(shard: Shard, overlap: str) -> None:
    total: Counter[str] = Counter()
    for seed in range(4):
        shard.client.flushall()
        world = World(shard, overlap, seed)
        for _ in range(STEPS):
            world.step()
            alive = [job for job in jobs(shard) if job["state"] not in ("dead", "completed", "cancelled")]
            if overlap != "allow":
                assert len(alive) <= 1, f"seed {seed}: {alive}"
            assert shard.call("conservation")[0] == 0, f"seed {seed}"
        world.drain()
        assert "queued" not in world.fields(), f"seed {seed}: it waits for ever"
        fires = Counter(job["scheduled"] for job in jobs(shard))
        assert not fires or max(fires.values()) == 1
        assert int(shard.client.zcard(shard.key("fires:s"))) == world.outcomes["added"]
        total += world.outcomes
    assert total["added"] > 25
    assert total["moved"] > 10
    assert overlap == "allow" or total["skipped" if overlap == "skip" else "queued"] > 5
