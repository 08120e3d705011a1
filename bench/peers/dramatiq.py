# /// script
# dependencies = ["dramatiq[redis]==2.2.1", "hiredis==3.5.0"]
# [tool.bench]
# worker = [
#   "env", "dramatiq_queue_prefetch=500", "dramatiq", "bench.peers.dramatiq", "--processes",
#   "{processes}", "--threads", "4",
# ]
# pace = 3800
# bulk = ""
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job; a dead worker's jobs come back after 60 s"
# results = "not kept (no result backend)"
# settings = "4 threads (8 by default), queue prefetch 500, hiredis"
# ///
"""dramatiq: lists and hashes behind Lua, threads."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.peers.driver import SOCKET, plain
from bench.peers.tally import begun, late

broker = RedisBroker(url=f"unix://{SOCKET}")
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(text: str) -> None:
    """Nothing."""
    begun()


@dramatiq.actor
def stamp(sent: float) -> None:
    """How late it is."""
    late(sent)


producer = plain(noop.send, stamp.send)
