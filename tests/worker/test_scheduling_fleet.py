"""A fleet of real worker processes that are killed: each second of a schedule still gets exactly one job."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import psutil

from crew import Crew, until
from servers import Server
from streamq.app import App

SECOND = 1_000


def test_each_second_gets_one_job_while_workers_are_killed(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    app: App = yard.app
    schedule = app.schedules.put("every 1 second", yard.add.call(1, 2), missed="all", overlap="allow")
    anchor, begun = app.queue().anchor, datetime.now(UTC)
    with Crew(valkey, tmp_path, lease=3, workers=3) as crew:
        for _ in range(12):
            time.sleep(0.5)  # what is waited for is the clock of the schedule
            for victim in crew.children()[:1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.kill()
        schedule.pause()
        until(lambda: _has_ended(app), what="the end of all jobs")
    fires = sorted(int(fire) for fire in valkey.raw.zrange(f"{anchor}:fires:add", 0, -1))
    assert fires == list(range(fires[0], fires[-1] + SECOND, SECOND)), "a second is missing"
    assert 0 < fires[0] - begun.timestamp() * SECOND <= SECOND
    assert len(fires) >= 5
    stats = app.run(app.queue().stats())
    assert (int(stats["enqueued"]), int(stats["completed"])) == (len(fires), len(fires))
    assert app.run(app.queue().conservation()).difference == 0


def _has_ended(app: App) -> bool:
    stats = app.run(app.queue().stats())
    return all(stats[state] == "0" for state in ("pending", "active", "delayed"))
