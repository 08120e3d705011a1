# /// script
# dependencies = ["taskiq==0.13.0", "taskiq-redis==1.2.4", "orjson==3.13.0", "hiredis==3.5.0", "uvloop==0.23.0"]
# [tool.bench]
# worker = [
#   "taskiq", "worker", "bench.peers.taskiq_stream:broker", "--workers", "{processes}",
#   "--max-async-tasks", "100", "--max-prefetch", "100", "--log-level", "ERROR", "--no-parse",
# ]
# pace = 3000
# bulk = "100 concurrent awaits (it has no bulk)"
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job; entries stay in the stream"
# results = "not kept (no result backend)"
# environment = "taskiq"
# settings = "consumer_id=0 (the default loses jobs put in before the first worker), else as taskiq_list"
# ///
"""taskiq on a stream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisStreamBroker

from bench.peers.driver import SOCKET, Producer, together
from bench.peers.tally import begun, late

broker = RedisStreamBroker(url=f"unix://{SOCKET}", consumer_id="0").with_serializer(ORJSONSerializer())


@broker.task
async def noop(text: str) -> None:
    """Nothing."""
    begun()


@broker.task
async def stamp(sent: float) -> None:
    """How late it is."""
    late(sent)


@asynccontextmanager
async def producer() -> AsyncIterator[Producer]:
    """Its broker."""
    await broker.startup()
    yield Producer(noop.kiq, stamp.kiq, together(noop.kiq))
    await broker.shutdown()
