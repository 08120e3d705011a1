# /// script
# dependencies = ["huey==3.5.4", "redis==8.1.0", "hiredis==3.5.0"]
# [tool.bench]
# worker = [
#   "huey_consumer", "bench.peers.huey.huey", "--worker-type", "process", "--workers",
#   "{processes}", "--no-periodic", "--disable-health-check", "--quiet",
# ]
# pace = 2600
# bulk = ""
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "none: a job is gone from the server when it is taken"
# results = "not kept (results=False)"
# settings = "process workers, no periodic tasks, no health check, quiet, hiredis"
# ///
"""huey: a list, blocking pops."""

from huey import RedisHuey

from bench.peers.driver import SOCKET, plain
from bench.peers.tally import begun, late

huey = RedisHuey("bench", url=f"unix://{SOCKET}", results=False, store_none=False)


@huey.task()
def noop(text: str) -> None:
    """Nothing."""
    begun()


@huey.task()
def stamp(sent: float) -> None:
    """How late it is."""
    late(sent)


producer = plain(noop, stamp)
