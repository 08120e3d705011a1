"""Leases are renewed at the queue that they belong to, whichever queues the process of a page serves."""

from __future__ import annotations

from servers import Server
from streamq.config import Config
from streamq.engines.factory import open_engine
from streamq.queue import Queue
from streamq.worker.keeper import Keeper
from streamq.worker.page import Page


def test_a_process_that_serves_one_of_the_queues_keeps_its_lease_there(valkey: Server) -> None:
    mail, images = Queue("mail"), Queue("images")
    engine = open_engine(Config(url=valkey.url))
    try:
        both, alone = Page([1, 1]), Page([1])
        sections = [*both.sections, *alone.sections]
        consumers = [engine.run(queue.register(1_000)).consumer for queue in (mail, images, images)]
        for section, consumer in zip(sections, consumers, strict=True):
            section.enroll(consumer, 0.0)

        keeper = Keeper(engine, 30.0, [mail.anchor, images.anchor])
        keeper.renew([([mail.anchor, images.anchor], both), ([images.anchor], alone)])

        marks = [section.renewed(consumer) for section, consumer in zip(sections, consumers, strict=True)]
        leases = [worker.lease_ms for queue in (mail, images) for worker in engine.run(queue.workers())]
        assert all(marks)
        assert min(leases) > 1_000
    finally:
        engine.close()
