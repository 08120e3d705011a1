# /// script
# dependencies = []
# [tool.bench]
# worker = ["streamq", "work", "bench.peers.streamq:app", "--workers", "{processes}"]
# pace = 100000
# bulk = "enqueue_many, 1,000 a call"
# transport = "unix socket"
# durability = "the server's AOF, every second"
# acknowledgement = "after the job, in batches that wait at most 4 ms; leases, recovery, and timeouts on"
# results = "kept for nobody, since nobody waits (the default); completions are logged"
# settings = "all defaults"
# ///
"""streamq itself, by its public surface and its command."""

from bench.peers.driver import SOCKET, plain
from bench.peers.tally import begun, late
from streamq import App

app = App(f"unix://{SOCKET}")


@app.task
async def noop(text: str) -> None:
    """Nothing."""
    begun()


@app.task
async def stamp(sent: float) -> None:
    """How late it is."""
    late(sent)


def _many(texts: list[str]) -> None:
    app.enqueue_many([noop.call(text) for text in texts])


producer = plain(noop.enqueue, stamp.enqueue, _many)
