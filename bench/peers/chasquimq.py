# /// script
# dependencies = ["chasquimq==1.3.0", "uvloop==0.23.0"]
# [tool.bench]
# worker = ["python", "-m", "bench.peers.driver", "chasquimq", "work"]
# pace = 25000
# bulk = "add_bulk, 1,000 a call"
# transport = "TCP, loopback"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job, in batches"
# results = "not kept (store_results=False)"
# settings = "concurrency=100, events off (faster), uvloop"
# server = "redis 8.6"
# ///
"""ChasquiMQ: a Rust engine on Streams, its Python API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chasquimq import Job, Queue, Worker

from bench.peers.driver import PORT, Producer, loop_factory
from bench.peers.tally import begun, late

URL = f"redis://127.0.0.1:{PORT}"


async def process(job: Job) -> None:
    """Nothing, or how late it is."""
    if job.name == "stamp":
        late(job.data["sent"])
    else:
        begun()


@asynccontextmanager
async def producer() -> AsyncIterator[Producer]:
    """Its queue."""
    async with Queue("bench", redis_url=URL) as queue:

        async def many(texts: list[str]) -> None:
            await queue.add_bulk([{"name": "noop", "data": {"text": text}} for text in texts])

        yield Producer(
            lambda text: queue.add("noop", {"text": text}),
            lambda sent: queue.add("stamp", {"sent": sent}),
            many,
        )


def work() -> None:
    """A worker; it has no command."""

    async def run() -> None:
        async with Worker("bench", process, redis_url=URL, concurrency=100, events_enabled=False) as worker:
            await worker.run()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run())
