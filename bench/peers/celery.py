# /// script
# dependencies = ["celery[redis]==5.7.0", "hiredis==3.5.0", "msgpack==1.2.4"]
# [tool.bench]
# worker = [
#   "celery", "-A", "bench.peers.celery", "worker", "--pool", "solo", "--loglevel", "ERROR",
#   "--without-gossip", "--without-mingle", "--without-heartbeat",
# ]
# pace = 1000
# bulk = ""
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "when it is taken (the default); others come back after the visibility timeout"
# results = "ignored"
# settings = "pool solo (faster here than prefork), prefetch 1,000, msgpack, no gossip, mingle, heartbeat; hiredis"
# ///
"""Celery: lists, kombu's virtual transport."""

from celery import Celery

from bench.peers.driver import SOCKET, plain
from bench.peers.tally import begun, late

app = Celery("bench", broker=f"redis+socket://{SOCKET}")
app.conf.update(
    task_ignore_result=True,
    task_serializer="msgpack",
    accept_content=["msgpack"],
    worker_prefetch_multiplier=1000,
    worker_disable_rate_limits=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


@app.task(name="noop")
def noop(text: str) -> None:
    """Nothing."""
    begun()


@app.task(name="stamp")
def stamp(sent: float) -> None:
    """How late it is."""
    late(sent)


producer = plain(noop.delay, stamp.delay)
