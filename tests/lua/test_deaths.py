"""Jobs whose worker dies over them: when that counts against them, and who hears of it."""

from __future__ import annotations

from shards import LEASE, Shard

DEATHS, LOSSES = 3, 10


def record(shard: Shard, job: str) -> dict[str, str]:
    """The fields of a job's record."""
    found = shard.client.hgetall(shard.key(f"job:{job}"))
    return {name.decode(): value.decode() for name, value in found.items()}


def commands(shard: Shard, consumer: str) -> list[str]:
    """What a consumer is told with its next take."""
    return [text.decode() for text in shard.call("take", consumer, 0, 0, 0)[7]]


def let_pass(shard: Shard, ms: int, consumer: str) -> None:
    """Time passes, in steps that do not look as if the server had stood still; one consumer stays alive."""
    for _ in range(0, ms, LEASE // 10):
        shard.now += LEASE // 10
        shard.call("renew", LEASE, consumer)


def test_the_dead_letter_of_a_poison_job_says_how_its_last_process_died(shard: Shard) -> None:
    (entry,) = shard.enqueue("5", "mail", "x")
    job = f"5-{entry}"
    shard.take(first := shard.register(), 1)
    shard.call("abandon", first, "shared", 2, "how", "SIGABRT", job)
    for how in ("SIGABRT", "SIGABRT", "exit code 3"):
        shard.take(alone := shard.register(), 0, isolate=1)
        shard.call("abandon", alone, "alone", 2, "how", how, job)
    dead = record(shard, job)
    assert (dead["state"], dead["reason"]) == ("dead", "poison")
    assert (
        dead["error"]
        == f"Poison: its worker process died {DEATHS} times while it ran alone; the last time: exit code 3"
    )


def test_a_worker_that_lives_is_told_of_a_job_that_lost_its_workers_too_often(shard: Shard) -> None:
    lives = shard.register()
    (entry,) = shard.enqueue("5", "mail", "x")
    for _ in range(LOSSES):
        gone = shard.register()
        assert shard.take(gone, 1, isolate=1)
        assert commands(shard, lives) == []
        let_pass(shard, 2 * LEASE, lives)
    assert record(shard, f"5-{entry}")["reason"] == "lost"
    assert commands(shard, lives) == [f"dead 5-{entry}"]
    assert commands(shard, lives) == []


def test_a_fleet_with_a_short_lease_is_recovered_by_one_whose_lease_is_long(shard: Shard) -> None:
    lives = shard.register()
    gone = shard.call("register", LEASE // 20, "another fleet")[0].decode()
    (entry,) = shard.enqueue("5", "mail", "x")
    shard.take(gone, 1)
    for _ in range(3):
        shard.now += LEASE // 3
        shard.call("renew", LEASE, lives)
    assert [row[0].decode() for _, row in shard.take(lives, 1)] == [entry]
