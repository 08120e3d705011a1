# /// script
# dependencies = ["saq[hiredis]==0.26.4", "redis==7.4.1", "typing_extensions", "uvloop==0.23.0"]
# [tool.bench]
# worker = ["saq", "bench.peers.saq.settings", "--workers", "{processes}", "--quiet"]
# pace = 2000
# bulk = "100 concurrent awaits (it has no bulk)"
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job; stuck jobs are swept"
# results = "not kept (ttl=-1)"
# settings = "concurrency=100, uvloop, hiredis; it needs typing_extensions and does not declare it"
# ///
"""SAQ: jobs in lists, with a notifying sweep."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from redis import asyncio as aioredis
from saq.queue.redis import RedisQueue

from bench.peers.driver import SOCKET, Producer, together
from bench.peers.tally import begun, late

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
queue = RedisQueue(aioredis.from_url(f"unix://{SOCKET}"), name="bench")


async def noop(ctx: dict[str, object], *, text: str) -> None:
    """Nothing."""
    begun()


async def stamp(ctx: dict[str, object], *, sent: float) -> None:
    """How late it is."""
    late(sent)


settings = {"queue": queue, "functions": [noop, stamp], "concurrency": 100}


@asynccontextmanager
async def producer() -> AsyncIterator[Producer]:
    """Its queue."""
    await queue.connect()

    async def one(text: str) -> None:
        await queue.enqueue("noop", text=text, ttl=-1)

    async def stamped(sent: float) -> None:
        await queue.enqueue("stamp", sent=sent, ttl=-1)

    yield Producer(one, stamped, together(one))
    await queue.disconnect()
