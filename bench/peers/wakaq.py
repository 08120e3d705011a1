# /// script
# dependencies = ["WakaQ==4.0.4", "hiredis==3.5.0"]
# [tool.bench]
# worker = ["wakaq-worker", "--app", "bench.peers.wakaq.wakaq"]
# pace = 4200
# bulk = ""
# transport = "TCP, loopback (it has no unix sockets)"
# durability = "the server's AOF, every second"
# acknowledgement = "none: a job is gone from the server when it is taken"
# results = "not kept (it has none)"
# settings = "concurrency=1 a process, logs errors only, hiredis"
# ///
"""WakaQ: lists, a job at a time in each process."""

import logging

from wakaq import WakaQ

from bench.peers.driver import PORT, plain
from bench.peers.tally import begun, late

wakaq = WakaQ(
    queues=["bench"],
    host="127.0.0.1",
    port=PORT,
    concurrency=1,
    worker_log_level=logging.ERROR,
    scheduler_log_level=logging.ERROR,
)


@wakaq.task
async def noop(text: str) -> None:
    """Nothing."""
    begun()


@wakaq.task
async def stamp(sent: float) -> None:
    """How late it is."""
    late(sent)


producer = plain(noop.delay, stamp.delay)
