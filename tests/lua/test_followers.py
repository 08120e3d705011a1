"""A follower is not left behind when somebody takes the job before it away by hand."""

from __future__ import annotations

import pytest

from shards import LEASE, Shard

LATEST = ("unique", "key", "on_conflict", "latest")


@pytest.mark.parametrize("record", ["there", "gone"])
def test_the_sweep_releases_the_follower_of_a_job_that_a_stranger_deleted(shard: Shard, record: str) -> None:
    worker = shard.register()
    shard.enqueue("5:4", "mail", "1", *LATEST)
    ((_, running),) = shard.take(worker, 1)
    (follower,) = shard.enqueue("5:4", "mail", "2", *LATEST)
    assert shard.take(worker, 1) == []
    shard.client.xdel(shard.key("ready:5"), running[0])
    if record == "gone":
        shard.client.delete(shard.key(f"job:5-{running[0].decode()}"))
    for _ in range(21):
        shard.now += 1_000
        shard.call("renew", LEASE, worker)
    ((_, (_, _, value)),) = shard.take(worker, 1)
    assert value[:3] == [f"5-{follower}".encode(), b"mail", b"2"]
    assert shard.client.get(shard.key("unique:key")) == f"5-{follower} done".encode()
