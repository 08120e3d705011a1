"""What a job's whole life costs the server, through a real fleet: CPU and commands, with and without results, by its file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.ground import (
    Run,
    Server,
    counted,
    executed_commands,
    idle_fleet,
    sent_commands,
    server_cpu,
    wait_until,
)
from bench.jobs import echo, noop
from bench.loads import PAYLOAD, on
from bench.scenarios import raw
from streamq import App
from streamq.task import Task

POLICIES = {"no_aof": None, "everysec": "everysec", "always": "always"}
KINDS: dict[str, Task[[str], Any]] = {"no_result": noop, "result": echo}
BATCH = 100


def measure(run: Run) -> dict[str, float]:
    """Microseconds of server CPU a job, how many times that of the raw commands, and commands a job, sent and executed."""
    figures: dict[str, float] = {}
    for policy, fsync in POLICIES.items():
        extra = ("--appendfsync", fsync) if fsync else ()
        with Server(run.server.kind, aof=fsync is not None, extra=extra) as server:
            own = replace(run, server=server)
            least = raw.measure(own)
            bare = least["add_server_us"] + least["drain_server_us"]
            figures[f"{policy}_raw_server_us"] = bare
            with own.app() as app, idle_fleet(own, app):
                for kind, task in KINDS.items():
                    found = _life(own, app, task)
                    found["times_raw"] = found["server_us"] / bare
                    figures |= {f"{policy}_{kind}_{name}": value for name, value in found.items()}
    return figures


def _life(run: Run, app: App, task: Task[[str], Any]) -> dict[str, float]:
    """Jobs are put in by hundreds while one worker process runs them."""
    jobs, before = run.size(50_000), counted(app, "completed")
    call = on(app, task).call(PAYLOAD)
    cpu, sent, executed = server_cpu(run), sent_commands(run), executed_commands(run)
    for _ in range(jobs // BATCH):
        app.enqueue_many([call] * BATCH)
    wait_until(lambda: counted(app, "completed") >= before + jobs // BATCH * BATCH, every=0.1)
    return {
        "server_us": (server_cpu(run) - cpu) / jobs * 1e6,
        "calls_per_job": (sent_commands(run) - sent) / jobs,
        "commands_per_job": (executed_commands(run) - executed) / jobs,
    }
