"""The short forms of the campaigns; ``python -m chaos`` runs the long ones."""

from __future__ import annotations

import pytest

from chaos.campaigns import Verdict, kill_workers, restart_server
from servers import Server


def check(verdict: Verdict) -> None:
    assert not verdict.lost
    assert not verdict.unexpected
    assert verdict.balance == 0
    assert verdict.dead == 0, "an innocent job was convicted"
    assert verdict.repeated <= verdict.in_flight


@pytest.mark.timeout(180)
def test_no_job_is_lost_when_workers_are_killed() -> None:
    with Server("valkey", aof=True) as server:
        check(kill_workers(server, jobs=4_000, kills=25))


@pytest.mark.timeout(180)
def test_no_job_is_lost_when_the_server_is_killed_and_comes_back() -> None:
    with Server("valkey", aof=True, extra=("--appendfsync", "always")) as server:
        check(restart_server(server, jobs=3_000, restarts=4))
