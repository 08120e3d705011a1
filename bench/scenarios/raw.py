"""The limit: the life of a job in raw commands, pipelined by hundreds, without any logic. Server CPU and bytes."""

from __future__ import annotations

import time

from bench.ground import Run, server_cpu

BATCH = 100


def measure(run: Run) -> dict[str, float]:
    """Microseconds of server CPU a job for XADD, then XREADGROUP, XACK and XDEL, and jobs/s of this one client."""
    client, jobs, payload = run.server.raw, run.size(50_000), b"x" * 100
    client.xgroup_create("raw", "g", "0", mkstream=True)
    cpu, began = server_cpu(run), time.perf_counter()
    for _ in range(jobs // BATCH):
        pipe = client.pipeline(transaction=False)
        for _ in range(BATCH):
            pipe.xadd("raw", {"t": payload})
        pipe.execute()
    added, added_cpu = time.perf_counter() - began, server_cpu(run) - cpu
    cpu, began = server_cpu(run), time.perf_counter()
    for _ in range(jobs // BATCH):
        entries = [entry for entry, _ in client.xreadgroup("g", "c", {"raw": ">"}, count=BATCH)[0][1]]
        client.pipeline(transaction=False).xack("raw", "g", *entries).xdel("raw", *entries).execute()
    drained, drained_cpu = time.perf_counter() - began, server_cpu(run) - cpu
    return {
        "add_jobs_per_s": jobs / added,
        "drain_jobs_per_s": jobs / drained,
        "add_server_us": added_cpu / jobs * 1e6,
        "drain_server_us": drained_cpu / jobs * 1e6,
    }
