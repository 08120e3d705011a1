# /// script
# dependencies = ["streaq==7.2.0", "uvloop==0.23.0"]
# [tool.bench]
# worker = ["streaq", "run", "bench.peers.streaq:worker", "--workers", "{processes}"]
# pace = 1200
# bulk = "enqueue_many, 1,000 a call"
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job; idle ones are claimed after 60 s"
# results = "not kept (ttl=0)"
# settings = "concurrency=100, prefetch=400, silent tasks, uvloop"
# ///
"""streaq: jobs in streams, a function library."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streaq import Worker

from bench.peers.driver import SOCKET, Producer
from bench.peers.tally import begun, late

worker = Worker(
    redis_url=f"unix://{SOCKET}", concurrency=100, prefetch=400, anyio_kwargs={"use_uvloop": True}
)


@worker.task(ttl=0, silent=True)
async def noop(text: str) -> None:
    """Nothing."""
    begun()


@worker.task(ttl=0, silent=True)
async def stamp(sent: float) -> None:
    """How late it is."""
    late(sent)


@asynccontextmanager
async def producer() -> AsyncIterator[Producer]:
    """Its worker, as a producer."""

    async def one(text: str) -> None:
        await noop.enqueue(text)

    async def stamped(sent: float) -> None:
        await stamp.enqueue(sent)

    async def many(texts: list[str]) -> None:
        await worker.enqueue_many([noop.enqueue(text) for text in texts])

    async with worker:
        yield Producer(one, stamped, many)
