# /// script
# dependencies = ["arq==0.28.0", "hiredis==3.5.0", "uvloop==0.23.0"]
# [tool.bench]
# worker = ["arq", "bench.peers.arq.WorkerSettings"]
# pace = 2000
# bulk = "100 concurrent awaits (it has no bulk)"
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job; a crash is noticed when the job's lock ends"
# results = "not kept (keep_result=0)"
# settings = "max_jobs=100, poll_delay=0.01 (0.5 s by default), uvloop, hiredis"
# ///
"""arq: jobs in a sorted set, polled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from arq import create_pool
from arq.connections import RedisSettings

from bench.peers.driver import SOCKET, Producer, together
from bench.peers.tally import begun, late

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
SETTINGS = RedisSettings(unix_socket_path=SOCKET)


async def noop(ctx: dict[str, object], text: str) -> None:
    """Nothing."""
    begun()


async def stamp(ctx: dict[str, object], sent: float) -> None:
    """How late it is."""
    late(sent)


class WorkerSettings:
    """What its command reads."""

    functions = (noop, stamp)
    redis_settings = SETTINGS
    max_jobs = 100
    poll_delay = 0.01
    keep_result = 0
    log_results = False


@asynccontextmanager
async def producer() -> AsyncIterator[Producer]:
    """Its pool."""
    pool = await create_pool(SETTINGS)

    async def one(text: str) -> None:
        await pool.enqueue_job("noop", text)

    async def stamped(sent: float) -> None:
        await pool.enqueue_job("stamp", sent)

    yield Producer(one, stamped, together(one))
    await pool.aclose()
