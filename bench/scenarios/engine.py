"""What the functions cost the server: CPU a job in batches of 100, and the memory of a queued plain job of 100 bytes."""

from __future__ import annotations

from bench.ground import Run, server_cpu
from streamq.protocol.consume import plain
from streamq.protocol.enqueue import NewJob
from streamq.queue import Queue

BATCH = 100


def measure(run: Run) -> dict[str, float]:
    """Microseconds of server CPU a job to enqueue and to take and settle; bytes a queued job."""
    with run.app() as app:
        queue, jobs = Queue("engine"), run.size(50_000) // BATCH
        batch = [NewJob("noop", b"x" * 100)] * BATCH
        app.run(queue.push(batch, producer="p", channel=1, seq=0))
        memory, cpu = run.server.raw.info("memory")["used_memory"], server_cpu(run)
        for number in range(jobs):
            app.run(queue.push(batch, producer="p", channel=1, seq=number + 1))
        added = server_cpu(run) - cpu
        memory = run.server.raw.info("memory")["used_memory"] - memory
        consumer = app.run(queue.register()).consumer
        cpu, taken, settlements = server_cpu(run), 0, []
        while (answer := app.run(queue.pop(consumer, BATCH, settlements=settlements))).groups:
            entries = answer.groups[1][::3]
            settlements = plain("5", entries, b" ".join(entries))
            taken += len(entries)
        drained = server_cpu(run) - cpu
    return {
        "add_server_us": added / jobs / BATCH * 1e6,
        "drain_server_us": drained / taken * 1e6,
        "bytes_per_queued_job": memory / jobs / BATCH,
    }
