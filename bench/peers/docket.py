# /// script
# dependencies = ["pydocket==0.27.0", "hiredis==3.5.0", "uvloop==0.23.0"]
# [tool.bench]
# worker = ["python", "-m", "bench.peers.driver", "docket", "work"]
# pace = 2500
# bulk = "add_many, 1,000 a call"
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job; redelivered after 5 minutes"
# results = "not kept (execution_ttl=0)"
# settings = "concurrency=100, max_connections=1000 (100 are too few for it), minimum_check_interval=10 ms, uvloop, hiredis"
# ///
"""docket: jobs in a stream, hashes beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from docket import Docket, Worker

from bench.peers.driver import SOCKET, Producer, loop_factory
from bench.peers.tally import begun, late


async def noop(text: str) -> None:
    """Nothing."""
    begun()


async def stamp(sent: float) -> None:
    """How late it is."""
    late(sent)


@asynccontextmanager
async def opened() -> AsyncIterator[Docket]:
    """The docket, without records of what is done."""
    async with Docket(
        "bench", url=f"unix://{SOCKET}?max_connections=1000", execution_ttl=timedelta(0)
    ) as docket:
        docket.register(noop)
        docket.register(stamp)
        yield docket


@asynccontextmanager
async def producer() -> AsyncIterator[Producer]:
    """Its docket."""
    async with opened() as docket:

        async def many(texts: list[str]) -> None:
            await docket.add_many([docket.call(noop)(text) for text in texts])

        yield Producer(lambda text: docket.add(noop)(text), lambda sent: docket.add(stamp)(sent), many)


def work() -> None:
    """A worker that keeps no records, which its command cannot be told."""

    async def run() -> None:
        async with (
            opened() as docket,
            Worker(docket, concurrency=100, minimum_check_interval=timedelta(milliseconds=10)) as worker,
        ):
            await worker.run_forever()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run())
