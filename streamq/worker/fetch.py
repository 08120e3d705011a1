"""The fetch loop of one queue: one round trip settles what has ended and takes what runs next.

Two rules keep it from sleeping beside work. It decides from its state alone, never from a signal, so a wake that comes
during a call is not lost. And whoever has room left is in the server's registry of sleepers when it sleeps, because the
last call asked for all of the room.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamq.config import Config
from streamq.engines.base import AsyncEngine, Link
from streamq.errors import ConnectionLost, StreamqError
from streamq.protocol import Call
from streamq.protocol.consume import Taken, report, take
from streamq.protocol.keys import wake_channel
from streamq.ticks.release import Release
from streamq.wire import Payloads, Unpacked
from streamq.worker.appetite import Appetite, GroupAppetite
from streamq.worker.bell import Bell
from streamq.worker.bench import Bench
from streamq.worker.commands import Commands
from streamq.worker.consumer import Consumer
from streamq.worker.desk import Counter, SeatDesk
from streamq.worker.endings import unbegun
from streamq.worker.inputs import Inputs
from streamq.worker.isolate import Isolation
from streamq.worker.membership import Membership
from streamq.worker.notices import Notices
from streamq.worker.outbox import Batch, Ending
from streamq.worker.page import Section
from streamq.worker.pauses import Pauses
from streamq.worker.plan import Plan
from streamq.worker.relay import Relay
from streamq.worker.rows import deliveries
from streamq.worker.seat import Lot, Seat
from streamq.worker.settling import Refused, Settling
from streamq.worker.spending import Spending
from streamq.worker.statistics import Tally
from streamq.worker.telling import Telling
from streamq.worker.ticker import Look
from streamq.worker.ticks import Ticks
from streamq.worker.verdict import Stop, Verdict

__all__ = ["Fetch", "Post"]

SETTLE_AFTER = 0.004  # seconds that an ending may wait for company
COUNTS = 500  # counts in one report
SUSPECTS_AFTER = 60.0  # seconds that suspects may wait for a process of their own

clock = time.monotonic


@dataclass(frozen=True, slots=True)
class Post:
    """Where a fetch loop works. ``place`` stands before its jobs' ids; ``alone``: it takes one suspect and nothing else.

    ``rules``: the limits of its queue as the code declares them, by name.
    """

    anchor: str
    queue: str
    place: str
    slots: int
    section: Section
    about: str
    alone: bool = False
    adopts_suspects: bool = False
    rules: Mapping[str, str] = field(default_factory=dict)


class Fetch:
    """One queue of one worker process. It is also what its bench and its handlers know of the outside."""

    def __init__(
        self,
        post: Post,
        config: Config,
        engine: AsyncEngine,
        plans: Mapping[bytes, Plan],
        payloads: Payloads,
        notices: Notices,
        isolation: Isolation,
        release: Release | None = None,
    ) -> None:
        self.post, self._config, self._engine = post, config, engine
        self._notices, self._isolation = notices, isolation
        self._bell = Bell()
        self._telling = Telling(post.anchor, self.send, self._bell.ring)
        self._spending = Spending(post.anchor, self.send)
        self.bench = Bench(plans, post.slots, post.section, self)
        self._members = Membership(post, config.lease, self.bench, payloads, notices)
        self._settling = Settling(post.anchor, self._members, notices, self._settled)
        self._ticks = Ticks(
            post.anchor, post.queue, release, payloads, notices, self.send, self._bell.ring_after
        )
        self._relay = Relay(post.anchor, config.namespace, engine, notices)
        self._inputs = Inputs(post.anchor, payloads, self._connected)
        self._commands = Commands(
            post.anchor, post.place, self.bench, notices, self.send, self._ticks, self._relay
        )
        self._counter = Counter(post.anchor, self._connected, self._is_lost)
        groups = self.bench.groups
        self._appetite = Appetite(clock()) if groups is None else GroupAppetite(clock(), groups)
        self._link: Link | None = None
        self._linked = asyncio.Event()
        self._is_asleep = self._is_paused = self._is_careful = False
        self._suspects_since: float | None = None
        self.answered, self.settled = clock(), 0
        self._found_nothing = False

    # Its life

    async def run(self) -> None:
        """Work until ``stop`` was called and all is settled. Gets over lost connections by itself."""
        pauses = Pauses()
        while not self._is_done():
            try:
                await self._session(pauses)
            except (StreamqError, OSError) as error:
                self._notices.lost(error, clock())
                await asyncio.sleep(pauses.next())
        self._bell.silence()
        self.bench.threads.close()
        await self._relay.close()

    def stop(self) -> None:
        """Take nothing more; what runs is finished, with groups that gather; what has not begun is handed back."""
        if not self.bench.is_stopping:
            self.bench.is_stopping = True
            self.bench.flush()
            self.release_waiting()
            self._bell.ring()

    def end(self, stop: Stop) -> None:
        """End what runs."""
        self.bench.end(stop)
        self._bell.ring()

    def release_waiting(self) -> None:
        """Hand back what has not begun; no attempt is spent."""
        for row, lot in self.bench.withdraw(lambda row, lot: True):
            lot.consumer.outbox.add(unbegun(row, lot, Verdict("release")))

    def pause(self, paused: bool) -> None:
        """Take nothing for a while; what runs goes on."""
        self._is_paused = paused
        self._bell.ring()

    @property
    def looks(self) -> tuple[Look, ...]:
        """What is to be done some times a second: end what is late, and give up what somebody else may own by now."""
        return self.bench.scan, self._fence, self._mind_link, self._ticks.mind

    def _fence(self, now: float) -> None:
        if self._members.fence_expired(now):
            self._bell.ring()

    def _mind_link(self, now: float) -> None:
        quiet = now - self.answered
        if self._link is not None and quiet > self._config.lease + self._config.reply_timeout:
            self._notices.trouble("worker.no_progress", seconds=round(quiet, 1))
            self._link.close()
            self._lost(ConnectionLost(f"no answer for {quiet:.0f} s"))

    async def tell_statistics(self) -> None:
        """Add what was counted to the server's statistics; what is counted while nobody is there is told later."""
        if self._link is not None:
            with contextlib.suppress(StreamqError):
                await self._report(self._link)

    @property
    def is_without_work(self) -> bool:
        """The last take found nothing, and nothing is left here."""
        return self._found_nothing and self.bench.is_idle and not self._members.pending()

    # What its bench and handlers need (outside.Outside)

    def tell(self, seat: Seat, said: dict[str, Any]) -> None:
        """A handler says how far it is, or what it has spent; called in threads too."""
        if "spent" in said:
            self._spending.add(said["spent"])
        else:
            self._telling.tell(seat, said)

    def open_desk(self, seat: Seat) -> SeatDesk:
        """Where a handler deals with the server; called in threads too."""
        return self._counter.open(seat)

    def _is_lost(self, seat: Seat) -> None:
        self.bench.end_seat(seat, Stop.FENCED)
        self._bell.ring()

    def changed(self) -> None:
        """A turn of the loop: is there a reason to call?"""
        if self._bell.is_awake:
            return
        if self._has_reason() or (self.bench.is_idle and self._members.pending()):
            self._bell.wake()  # with nothing left to run, no ending would get company
        elif self._members.pending():
            self._bell.ring_after(SETTLE_AFTER, "settle")

    def settle_soon(self) -> None:
        """An ending should not wait for company."""
        self._bell.ring()

    def ended(self, lot: Lot, ending: Ending) -> None:
        """A job ended in another way than by a plain completion."""
        if ending.verdict.outcome == "done" and ending.result is not None:
            lot.consumer.outbox.seal(ending)
        outcome = ending.verdict.outcome
        if ending.plan is not None:
            _count(ending.plan.tally, outcome, ending.seconds)
        if outcome is not None:
            lot.consumer.outbox.add(ending)
        self._notices.ended(ending)  # last: its ending does not depend on who is told

    async def body_of(self, seat: Seat) -> bytes:
        """The payload of a job that is kept apart from its entry."""
        return await self._members.body_of(seat, self._connected)

    async def give(self, seat: Seat, opened: Unpacked) -> None:
        """Put into a job's arguments what its parents left. Raises Unmet when it is not to run."""
        await self._inputs.give(seat, opened)

    async def isolate(self, seat: Seat, plan: Plan, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run a handler in a process of its own."""
        try:
            return await self._isolation.run(seat, plan, args, kwargs)
        finally:
            if self._isolation.is_lost:
                self.stop()  # what this process cannot run is for others

    def send(self, call: Call[Any]) -> asyncio.Future[Any]:
        """Carry a call on the current connection; it fails at once when there is none."""
        if self._link is not None:
            return self._link.call(call)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_exception(ConnectionLost(f"no connection to the server of {self.post.anchor}"))
        return future

    async def _report(self, link: Link) -> None:
        counts = [count for plan in self.bench.plans.values() for count in plan.tally.drain(clock())]
        for start in range(0, len(counts), COUNTS):
            await link.call(report(self.post.anchor, 0, counts[start : start + COUNTS]))

    async def _connected(self) -> Link:
        while self._link is None:
            await self._linked.wait()
        return self._link

    # One connection

    async def _session(self, pauses: Pauses) -> None:
        link = await self._engine.link(self.post.anchor, self._rung, self._lost)
        try:
            me = await self._members.join(link)
            await link.subscribe(wake_channel(self.post.anchor, me.id))
            self._link = link
            self._linked.set()
            self._is_asleep = False
            while not self._is_done():
                await self._round(link)
                pauses.reset()
                await self._rest()
            await asyncio.gather(*self._spending.flush())
            await self._report(link)
            await self._ticks.finish()
            await self._members.leave(link)
        finally:
            self._link = None
            self._linked.clear()
            link.close()

    async def _round(self, link: Link) -> None:
        """One take, and what follows from its answer."""
        me = self._members.me
        if me.is_over and not self.bench.is_stopping:
            me = await self._members.replace(link)
            await link.subscribe(wake_channel(self.post.anchor, me.id))
        n = self._appetite_now(me)
        isolate = self._isolate_now(me)
        self._bell.answer()
        if self._is_careful:
            await self._settling.settle_singly(link, me)
            self._is_careful = False
        batch = me.outbox.drain(me.offset)
        asked = clock()
        try:
            call = take(self.post.anchor, 0, me.id, me.generation, n, isolate, batch.arguments)
            taken = call.read(await link.call(call))
        except BaseException as error:
            me.outbox.put_back(batch)
            self._is_careful = isinstance(error, Refused)
            raise
        self._bell.rest_again()
        self.answered = clock()
        self._settled(me, batch, taken.refused, taken.wanted)
        if "strikes" in taken.commands:
            await self._members.learn_strikes(link)
        self._receive(me, taken, n, asked)
        await self._settling.settle_leavers(link)
        self.changed()

    def _appetite_now(self, me: Consumer) -> int:
        """For how many to ask: all that there is room for when it may sleep afterwards, else a worthwhile number."""
        bench = self.bench
        if self.post.alone or self._is_paused or bench.is_stopping or me.is_over:
            return 0
        if self._must_isolate():
            return 0
        if self._is_asleep or self._appetite.worth_asking(bench.free, bench.waiting):
            return self._appetite.missing(bench.free, bench.waiting)
        return 0

    def _isolate_now(self, me: Consumer) -> int:
        """Suspects run in a process of their own; where nobody has such processes, beside nothing else."""
        if self.bench.is_stopping or me.is_over:
            return 0
        if self.post.alone:
            return 1
        return int(self._must_isolate())

    def _must_isolate(self) -> bool:
        waited = self._suspects_since is not None and clock() - self._suspects_since > SUSPECTS_AFTER
        return self.post.adopts_suspects and waited and self.bench.is_idle

    def _receive(self, me: Consumer, taken: Taken, n: int, asked: float) -> None:
        me.heard(taken.mono, taken.now)
        got = self._arrive(me, taken.groups, taken.fence) + self._arrive(me, taken.alone, taken.fence)
        for command in taken.commands:
            self._commands.obey(command)
        if taken.state != "clean":
            self._members.revoked(me, gone=taken.state == "unknown")
        self._is_asleep = n > 0 and got < n and not me.is_over
        self._found_nothing = self._is_asleep and got == 0
        if not taken.suspects:
            self._suspects_since = None
        elif self._suspects_since is None:
            self._suspects_since = asked
        if self.post.alone:
            self.bench.is_stopping = True
        elif self._is_asleep:
            self._bell.ring_after(_shortened(taken.sleep / 1000), "sleep")
        self._bell.ring_after(self._config.lease / 3, "quiet")

    def _arrive(self, me: Consumer, groups: list[Any], fence: int) -> int:
        got = 0
        for level, rows in deliveries(groups):
            self.bench.arrive(Lot(me, level, fence), rows)
            got += len(rows)
        return got

    def _settled(
        self, me: Consumer, batch: Batch, refused: list[tuple[str, str]], wanted: list[tuple[str, str]]
    ) -> None:
        me.outbox.want(batch, wanted)
        self.settled += batch.size - len(wanted)
        self._appetite.finished(batch.size, self.answered)
        self._notices.refused(refused)

    # When to call

    def _has_reason(self) -> bool:
        if self._bell.is_rung or self._is_done() or (self._members.pending() and self.bench.is_stopping):
            return True
        if self._is_asleep or self._is_paused or self.bench.is_stopping or self.post.alone:
            return False
        return self._appetite.worth_asking(self.bench.free, self.bench.waiting)

    def _is_done(self) -> bool:
        bench = self.bench
        return bench.is_stopping and bench.is_idle and not self._members.pending()

    async def _rest(self) -> None:
        await self._bell.rest()
        if self._link is None:
            raise ConnectionLost(f"the connection of {self.post.anchor} is gone")

    def _rung(self, channel: bytes, message: bytes) -> None:
        self._is_asleep = self._is_asleep and message != b"take"
        self._bell.ring()

    def _lost(self, error: Exception) -> None:
        self._link = None
        self._bell.ring()


def _shortened(seconds: float) -> float:
    """Long sleeps end at different times; short ones are for a due time."""
    return seconds * random.uniform(0.97, 1.0) if seconds > 2 else seconds + 0.001  # noqa: S311


def _count(tally: Tally, outcome: str | None, seconds: float) -> None:
    """What was not run, or not to its end, says nothing of how long a run takes."""
    if outcome in {"strike", "expired"}:
        tally.ended(outcome)
    else:
        tally.single("completed" if outcome == "done" else outcome or "fenced", seconds)
