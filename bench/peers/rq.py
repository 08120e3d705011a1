# /// script
# dependencies = ["rq==3.0.0", "hiredis==3.5.0"]
# [tool.bench]
# worker = [
#   "rq", "worker", "bench", "--url", "unix://{socket}", "--worker-class", "rq.worker.SimpleWorker",
#   "--quiet", "--disable-job-desc-logging",
# ]
# pace = 180
# bulk = "enqueue_many, 1,000 a call"
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job; registries of started jobs are cleaned up"
# results = "not kept (result_ttl=0)"
# settings = "SimpleWorker (no fork for each job), quiet, hiredis"
# ///
"""RQ: lists and hashes, a job at a time."""

from redis import Redis
from rq import Queue

from bench.peers.driver import SOCKET, plain
from bench.peers.tally import begun, late

NOOP, STAMP = "bench.peers.rq.noop", "bench.peers.rq.stamp"
queue = Queue("bench", connection=Redis(unix_socket_path=SOCKET))


def noop(text: str) -> None:
    """Nothing."""
    begun()


def stamp(sent: float) -> None:
    """How late it is."""
    late(sent)


def _many(texts: list[str]) -> None:
    queue.enqueue_many([Queue.prepare_data(NOOP, (text,), result_ttl=0) for text in texts])


producer = plain(
    lambda text: queue.enqueue(NOOP, text, result_ttl=0),
    lambda sent: queue.enqueue(STAMP, sent, result_ttl=0),
    _many,
)
