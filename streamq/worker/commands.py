"""What the server tells a worker beside deliveries: that a running job should stop, that one died of which
nobody told, that a schedule is due, or that messages to other shards are to be carried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from streamq.protocol import Call
from streamq.protocol.inspect import job as look_at
from streamq.worker.bench import Bench
from streamq.worker.endings import unbegun
from streamq.worker.notices import Notices
from streamq.worker.relay import Relay
from streamq.worker.ticks import Ticks
from streamq.worker.verdict import Verdict

__all__ = ["Commands"]


class Commands:
    """Obeys them for one queue. ``place`` stands before its jobs' ids; ``send`` carries a call."""

    def __init__(
        self,
        anchor: str,
        place: str,
        bench: Bench,
        notices: Notices,
        send: Callable[[Call[Any]], asyncio.Future[Any]],
        ticks: Ticks,
        relay: Relay,
    ) -> None:
        self._anchor, self._place, self._bench = anchor, place, bench
        self._notices, self._send, self._ticks, self._relay = notices, send, ticks, relay

    def obey(self, command: str) -> None:
        """Do as the server says; a word that only newer workers know is logged."""
        match command.split(" "):
            case ["cancel", level, entry]:
                self._cancel(level.encode(), entry.encode())
            case ["dead", job]:
                self._tell_of_death(job)
            case ["tick", schedule]:
                self._ticks.due(schedule)
            case ["again", milliseconds]:
                self._ticks.look_again(int(milliseconds) / 1000)
            case ["relay"]:
                self._relay.start()
            case ["strikes"]:
                pass  # they were read before what came with the command began
            case _:
                self._notices.trouble("worker.unknown_command", command=command[:100])

    def _cancel(self, level: bytes, entry: bytes) -> None:
        if self._bench.cancel(level, entry):
            return
        for row, lot in self._bench.withdraw(lambda row, lot: row[0] == entry and lot.level == level):
            lot.consumer.outbox.add(
                unbegun(row, lot, Verdict("cancelled", reason="cancelled before it began"))
            )

    def _tell_of_death(self, job: str) -> None:
        """A job died whose worker was lost, so that none can tell of it but us."""
        call = look_at(self._anchor, 0, job)

        def told(answer: asyncio.Future[Any]) -> None:
            if not answer.cancelled() and answer.exception() is None:
                self._notices.died(f"{self._place}-{job}", call.read(answer.result()))

        self._send(call).add_done_callback(told)
