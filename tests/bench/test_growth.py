"""Growth: every axis gives points at its sizes, and what does not fit is said."""

from __future__ import annotations

import json

import pytest

from bench.ground import Run
from bench.growth import connections, delayed, depth, queues, servers
from bench.growth.curves import curves, point, sizes
from bench.growth.direct import Direct
from servers import Server

TAKES = {"take_p50_ms", "take_p99_9_ms", "take_ms_at", "enqueue_p50_ms", "enqueue_p99_ms"}


def test_points_become_curves_in_the_order_of_their_sizes() -> None:
    found = point("queued", 1000, {"rate": 7}) | point("queued", 200, {"rate": 8}) | {"queued_share": 0.9}
    assert found["queued_1000.rate"] == 7
    assert curves(found) == {"queued": {"rate": [(200, 8), (1000, 7)]}}


def test_sizes_that_the_scale_makes_equal_are_measured_once(valkey: Server) -> None:
    assert sizes(Run(valkey, 1.0), (1, 10, 100)) == [1, 10, 100]
    assert sizes(Run(valkey, 0.05), (1, 10, 100)) == [1, 5]


def test_queued_jobs_are_drained_by_a_fleet_and_those_that_do_not_fit_are_named(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depth, "QUEUED", (300, 2_000, 10**15))
    monkeypatch.setattr(depth, "ROUNDS", 1)
    monkeypatch.setattr(depth, "CYCLES", 0)
    found = depth.measure(Run(valkey, 1.0))
    figures = curves(found)["queued"]
    assert {*TAKES, "drain_jobs_per_s", "drain_server_us", "fill_jobs_per_s", "server_mb"} <= set(figures)
    assert [size for size, _ in figures["drain_jobs_per_s"]] == [300, 2_000]
    assert str(found["queued_left_out"]).startswith(f"{10**15}: ")
    json.dumps(found)


def test_takes_are_timed_beside_delayed_jobs_some_of_which_become_due(valkey: Server) -> None:
    found = delayed.measure(Run(valkey, 0.0))
    assert set(curves(found)["delayed"]) >= TAKES
    counters = valkey.raw.hgetall("sq:{default}:counts")
    assert int(counters[b"delayed"]) < 100


def test_each_of_many_sleepers_can_be_woken_and_take(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", (100, 5_000))
    monkeypatch.setattr(connections, "COMPARED", (1, 50))
    found = connections.measure(Run(server, 0.01))
    assert [size for size, _ in curves(found)["connections"]["wake_p50_ms"]] == [1, 50]
    assert found["connections_wake_ratio"]
    assert int(server.raw.hget("sq:{default}:counts", "completed")) == 1000


def test_several_queues_are_drained_by_one_process(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "QUEUES", (300,))
    found = queues.measure(Run(valkey, 0.01))
    assert set(curves(found)["queues"]) >= {"drain_jobs_per_s", "server_us_per_job", "enqueue_p50_ms"}
    assert {valkey.raw.hget(f"sq:{{queue-{number}}}:counts", "completed") for number in range(3)} != {None}


def test_shards_are_filled_and_drained_on_as_many_servers(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "SERVERS", (1, 2))
    found = servers.measure(Run(valkey, 0.0))
    assert [size for size, _ in curves(found)["servers"]["server_us_per_job"]] == [1, 2]
    assert found["servers_cost_ratio"]


def test_a_filled_job_is_a_plain_one_of_a_hundred_bytes(valkey: Server) -> None:
    with Run(valkey, 0.0).app() as app:
        Direct.of(app, "default").fill(1)
        ((_, fields),) = valkey.raw.xrange("sq:{default}:ready:5")
    assert [len(body) for body in fields.values()] == [100]
