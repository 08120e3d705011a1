"""The consumers of one fetch loop: the current one, and those whose id was taken back and who have something left.

Who owns a delivery is for the server to say: after any doubt, ask the server what is ours (``adopt``), compare, settle again; an
id that was revoked takes nothing any more; and when a lease cannot have been renewed in time, what runs under it is
ended here before anybody else can own it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from streamq.engines.base import Link
from streamq.errors import BadPayload, ServerUnavailable
from streamq.protocol.consume import Adopted, adopt, retire
from streamq.protocol.keys import record_key
from streamq.protocol.limits import declare
from streamq.protocol.strikes import strikes
from streamq.wire import Payloads
from streamq.worker.bench import Bench
from streamq.worker.consumer import Consumer, registration
from streamq.worker.endings import unbegun
from streamq.worker.notices import Notices
from streamq.worker.outbox import Outbox
from streamq.worker.page import CONSUMERS
from streamq.worker.rows import deliveries
from streamq.worker.seat import Lot, Seat
from streamq.worker.verdict import Stop, Verdict

if TYPE_CHECKING:
    from streamq.worker.fetch import Post

__all__ = ["Membership"]

LISTED = 1000  # deliveries of a level that adopt lists at most
Deliveries = set[tuple[bytes, bytes]]

clock = time.monotonic


class Membership:
    """Joins, comes back after a broken connection, is replaced, and leaves."""

    def __init__(self, post: Post, lease: float, bench: Bench, payloads: Payloads, notices: Notices) -> None:
        self._post, self._lease, self._bench = post, lease, bench
        self._payloads, self._notices = payloads, notices
        self._me: Consumer | None = None
        self._leavers: list[Consumer] = []

    @property
    def me(self) -> Consumer:
        """The current consumer."""
        if self._me is None:
            raise RuntimeError("it has not joined")
        return self._me

    def leavers(self) -> list[Consumer]:
        """Those whose id was taken back."""
        return list(self._leavers)

    def pending(self) -> int:
        """Endings that are not settled."""
        mine = len(self._me.outbox) if self._me else 0
        return mine + sum(len(old.outbox) for old in self._leavers) if self._leavers else mine

    def has_ended(self, old: Consumer) -> bool:
        """Nothing runs under that id, and all is settled."""
        runs = any(seat.lot.consumer is old for seat in self._bench.seats())
        return not runs and not len(old.outbox)

    async def join(self, link: Link) -> Consumer:
        """Register, or come back: then the server says what is owned, which is compared with what is held."""
        for consumer in (*self._leavers, *([self._me] if self._me else [])):
            await self._adopt(link, consumer)
        if self._me is None:
            self._me = await self._register(link)
        return self._me

    async def replace(self, link: Link) -> Consumer:
        """The current id is over: take a new one. What is left under the old one is settled by and by."""
        old = self.me
        self._make_room()
        self._me = await self._register(link)
        self._leavers.append(old)
        self._notices.said("worker.registered_anew", consumer=self._me.id)
        return self._me

    def revoked(self, consumer: Consumer, *, gone: bool) -> None:
        """The server does not give to this id any more; ``gone``: what it held was given to others."""
        if consumer.is_over:
            return
        consumer.is_over = True
        self._withdraw(consumer, gone=gone)
        if gone:
            self._bench.end(Stop.FENCED, consumer)

    def fence_expired(self, now: float) -> bool:
        """End what runs under a lease that may be over by now; whether there was one."""
        expired = [c for c in (self._me, *self._leavers) if c and not c.is_over and self._is_expired(c, now)]
        for consumer in expired:
            self._notices.trouble("worker.fenced", consumer=consumer.id, lease=self._lease)
            self.revoked(consumer, gone=True)
        return bool(expired)

    def forget(self, old: Consumer) -> None:
        """It is retired."""
        self._leavers.remove(old)
        self._post.section.strike(old.id)

    async def leave(self, link: Link) -> None:
        """Retire; what a hung handler still holds is given to others."""
        for consumer in (*self._leavers, self.me):
            await link.call(retire(self._post.anchor, 0, consumer.id))
            self._post.section.strike(consumer.id)

    async def body_of(self, seat: Seat, connected: Callable[[], Awaitable[Link]]) -> bytes:
        """The payload of a job that is kept in its record."""
        key = record_key(self._post.anchor, seat.local_id)
        while True:
            link = await connected()
            try:
                body = await link.command("HGET", key, "large")
            except ServerUnavailable:
                continue
            if not isinstance(body, bytes):
                raise BadPayload(f"the payload of {seat.id} is not in its record")
            return body

    async def learn_strikes(self, link: Link) -> None:
        """Ask which strikes stand. A consumer is told of every change after that."""
        call = strikes(self._post.anchor)
        standing = call.read(await link.call(call))
        if standing or self._bench.strikes:
            self._notices.said("worker.strikes", standing=[strike.id for strike in standing])
        self._bench.heed(standing)

    async def _register(self, link: Link) -> Consumer:
        asked = clock()
        call = registration(self._post.anchor, self._lease, self._post.about)
        registered = call.read(await link.call(call))
        outbox = Outbox(
            self._post.queue,
            self._post.place,
            self._payloads,
            self._notices.on_completion,
            self._notices.ended,
        )
        self._post.section.enroll(registered.consumer, asked)
        await self.learn_strikes(link)
        for declaration in declare(self._post.anchor, 0, self._post.rules):
            await link.call(declaration)
        return Consumer(registered.consumer, self._post.place, outbox, registered.mono, registered.now)

    async def _adopt(self, link: Link, consumer: Consumer) -> None:
        consumer.generation += 2  # the one between is its supervisor's (see rescue)
        self._post.section.connected(consumer.id, consumer.generation)
        call = adopt(self._post.anchor, 0, consumer.id, consumer.generation)
        adopted = call.read(await link.call(call))
        consumer.heard(adopted.mono, adopted.now)
        await self.learn_strikes(link)
        self._compare(consumer, adopted)
        if adopted.state != "clean":
            self.revoked(consumer, gone=adopted.state == "unknown")

    def _compare(self, consumer: Consumer, adopted: Adopted) -> None:
        """Run what was given in a reply that did not come; end what is not owned any more."""
        running = self._bench.held(consumer)
        held = running | consumer.outbox.entries()
        owned: Deliveries = set()
        is_whole = True
        for level, rows in deliveries(adopted.groups):
            owned |= {(level, row[0]) for row in rows}
            is_whole = is_whole and len(rows) < LISTED
            new = [row for row in rows if (level, row[0]) not in held]
            if new and not consumer.is_over:
                self._bench.arrive(Lot(consumer, level, adopted.fence), new)
        if is_whole:
            consumer.outbox.keep(owned)
            self._drop(consumer, running - owned)

    def _drop(self, consumer: Consumer, lost: Deliveries) -> None:
        self._bench.withdraw(lambda row, lot: lot.consumer is consumer and (lot.level, row[0]) in lost)
        for seat in self._bench.seats():
            if seat.lot.consumer is consumer and (seat.lot.level, seat.row[0]) in lost:
                self._bench.end_seat(seat, Stop.FENCED)

    def _make_room(self) -> None:
        """The page has no place for another id: what runs under the oldest, which nobody could renew any more, is ended."""
        excess = len(self._leavers) + 2 - CONSUMERS
        for oldest in self._leavers[: max(0, excess)]:
            if self._post.section.renewed(oldest.id):
                self._notices.trouble(
                    "worker.fenced", consumer=oldest.id, hint="the server was lost too often"
                )
                self._bench.end(Stop.FENCED, oldest)
                self._post.section.strike(oldest.id)

    def _withdraw(self, consumer: Consumer, *, gone: bool) -> None:
        """What has not begun is handed back, or dropped when it was given to others."""
        for row, lot in self._bench.withdraw(lambda row, lot: lot.consumer is consumer):
            if not gone:
                consumer.outbox.add(unbegun(row, lot, Verdict("release")))

    def _is_expired(self, consumer: Consumer, now: float) -> bool:
        renewed = self._post.section.renewed(consumer.id)
        return bool(renewed) and now > renewed + self._lease * 0.95
