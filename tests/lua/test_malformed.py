"""What strangers write straight into a stream: a dead letter with a reason, never a crash, a loop, or harm for a neighbour."""

from __future__ import annotations

from servers import Server
from streamq.config import Config
from streamq.engines.factory import open_engine
from streamq.protocol.enqueue import NewJob
from streamq.queue import Queue

READY = "sq:{mail}:ready:5"


def test_malformed_entries_become_dead_letters_and_their_neighbours_run(server: Server) -> None:
    engine, queue, raw = open_engine(Config.load(url=server.url)), Queue("mail"), server.raw
    try:
        engine.run(queue.push([NewJob("good", b"[[1]]")]))
        raw.xadd(READY, {"task": "body", "more": "fields"})
        raw.xadd(READY, {"n" * 20_000: "[[1]]"})
        raw.xadd(READY, {"@": "no-such-form"})
        raw.xadd(READY, {"@": "5-1-1"})
        raw.hset(
            "sq:{mail}:job:5-7-7", mapping={"task": "odd", "body": "[[1]]", "attempt": "abc", "expires": "x"}
        )
        raw.xadd(READY, {"@": "5-7-7"})
        engine.run(queue.push([NewJob("good", b"[[2]]")]))
        taken = engine.run(queue.pop(engine.run(queue.register()).consumer, 10))
        assert taken.groups[1][1::3] == [b"good", b"@", b"good"]
        dead = engine.run(queue.list_jobs("dead")).jobs
        assert [job.fields["reason"] for job in dead] == ["malformed"] * 4
        assert (
            engine.run(queue.conservation()).difference == 0
        )  # the sweep of the take has counted the strangers
    finally:
        engine.close()
