"""Settling apart from a take: what is left under ids that were taken back, and endings that the server refuses together."""

from __future__ import annotations

from collections.abc import Callable

from streamq.engines.base import Link
from streamq.errors import LimitExceeded, ProtocolError
from streamq.protocol.consume import finish, retire
from streamq.worker.consumer import Consumer
from streamq.worker.membership import Membership
from streamq.worker.notices import Notices
from streamq.worker.outbox import BATCH, Batch

__all__ = ["Refused", "Settled", "Settling"]

Refused = (ProtocolError, LimitExceeded)
Settled = Callable[[Consumer, Batch, list[tuple[str, str]], list[tuple[str, str]]], None]  # refused, wanted


class Settling:
    """``settled`` is told of each batch that the server has taken."""

    def __init__(self, anchor: str, members: Membership, notices: Notices, settled: Settled) -> None:
        self._anchor, self._members, self._notices, self._settled = anchor, members, notices, settled

    async def settle_leavers(self, link: Link) -> None:
        """Ids that were taken back settle what is left under them, then they are retired."""
        for old in self._members.leavers():
            await self._finish(link, old, BATCH)
            if self._members.has_ended(old):
                await link.call(retire(self._anchor, 0, old.id))
                self._members.forget(old)

    async def settle_singly(self, link: Link, consumer: Consumer) -> None:
        """One by one, so that an ending that cannot be settled holds up no other.

        Such a delivery stays with the consumer, and is given to others when that leaves.
        """
        while len(consumer.outbox):
            try:
                await self._finish(link, consumer, 1)
            except Refused as error:
                self._notices.trouble("job.cannot_be_settled", error=str(error))

    async def _finish(self, link: Link, consumer: Consumer, most: int) -> None:
        batch = consumer.outbox.drain(consumer.offset, most)
        if not batch.size:
            return
        try:
            call = finish(self._anchor, 0, consumer.id, consumer.generation, batch.arguments)
            finished = call.read(await link.call(call))
        except BaseException as error:
            if not (most == 1 and isinstance(error, Refused)):
                consumer.outbox.put_back(batch)
            raise
        self._settled(consumer, batch, finished.refused, finished.wanted)
