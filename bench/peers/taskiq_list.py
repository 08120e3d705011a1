# /// script
# dependencies = ["taskiq==0.13.0", "taskiq-redis==1.2.4", "orjson==3.13.0", "hiredis==3.5.0", "uvloop==0.23.0"]
# [tool.bench]
# worker = [
#   "taskiq", "worker", "bench.peers.taskiq_list:broker", "--workers", "{processes}",
#   "--max-async-tasks", "100", "--max-prefetch", "100", "--log-level", "ERROR", "--no-parse",
# ]
# pace = 2500
# bulk = "100 concurrent awaits (it has no bulk)"
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "none: a job is gone from the server when it is taken"
# results = "not kept (no result backend)"
# environment = "taskiq"
# settings = "max-async-tasks 100, max-prefetch 100, no-parse, orjson, uvloop, hiredis"
# ///
"""taskiq on lists."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListQueueBroker

from bench.peers.driver import SOCKET, Producer, together
from bench.peers.tally import begun, late

broker = ListQueueBroker(url=f"unix://{SOCKET}").with_serializer(ORJSONSerializer())


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
