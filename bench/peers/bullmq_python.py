# /// script
# dependencies = ["bullmq==3.4.4", "hiredis==3.5.0", "uvloop==0.23.0"]
# [tool.bench]
# worker = ["python", "-m", "bench.peers.driver", "bullmq_python", "work"]
# pace = 1700
# bulk = "addBulk, 1,000 a call"
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job; locks of 30 s, stalled jobs come back"
# results = "removed on completion"
# settings = "concurrency=100, uvloop, hiredis"
# ///
"""BullMQ's Python port: BullMQ's Lua, asyncio."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bullmq import Job, Queue, Worker

from bench.peers.driver import SOCKET, Producer, loop_factory
from bench.peers.tally import begun, late

CONNECTION = f"unix://{SOCKET}"
OPTIONS = {"removeOnComplete": True, "removeOnFail": True}


async def process(job: Job, token: str) -> None:
    """Nothing, or how late it is."""
    if job.name == "stamp":
        late(job.data["sent"])
    else:
        begun()


@asynccontextmanager
async def producer() -> AsyncIterator[Producer]:
    """Its queue."""
    queue = Queue("bench", {"connection": CONNECTION})

    async def many(texts: list[str]) -> None:
        await queue.addBulk([{"name": "noop", "data": {"text": text}, "opts": OPTIONS} for text in texts])

    yield Producer(
        lambda text: queue.add("noop", {"text": text}, OPTIONS),
        lambda sent: queue.add("stamp", {"sent": sent}, OPTIONS),
        many,
    )
    await queue.close()


def work() -> None:
    """A worker; it has no command."""

    async def run() -> None:
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        worker = Worker("bench", process, {"connection": CONNECTION, "concurrency": 100})
        await stopped.wait()
        await worker.close(force=True)

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run())
