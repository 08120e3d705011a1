"""Where the deliveries of batches gather: until there are as many as fit into one run, or the first has waited long enough.

A delivery comes into the lobby, and takes a seat when one is free. Its payload is read there, because what it holds may
say with whom it can run; what cannot be read ends at once, alone. Full and late groups are ready, and the bench runs them.
Nothing here has begun: all of it can be taken back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence

from streamq.protocol.consume import RECORD, Row
from streamq.worker.batch_plan import BatchPlan
from streamq.worker.deadlines import TooLate
from streamq.worker.endings import raised
from streamq.worker.group import Member
from streamq.worker.outside import Outside
from streamq.worker.page import Section
from streamq.worker.plan import Plan
from streamq.worker.seat import Lot
from streamq.worker.strikes import Strikes, Struck

__all__ = ["MEMBERS", "Group", "Groups"]

MEMBERS = 1000  # seats of a queue in one process, for members that wait or run
LEARNS = 0.3  # how much one reply counts in the share of members

clock = time.monotonic
Wanted = Callable[[Row, Lot], bool]


class Group:
    """Members that will run together."""

    __slots__ = ("key", "members", "plan", "timer")

    def __init__(self, plan: BatchPlan, key: Hashable) -> None:
        self.plan, self.key = plan, key
        self.members: list[Member] = []
        self.timer: asyncio.TimerHandle | None = None


class Groups:
    """Those of one queue. ``changed`` is called when a group has become ready.

    ``share``: of the deliveries that come, which part is of batches; it begins as what is declared for the queue.
    """

    def __init__(
        self,
        plans: Mapping[bytes, Plan],
        strikes: Strikes,
        section: Section,
        outside: Outside,
        changed: Callable[[], None],
    ) -> None:
        self._plans = {name: plan for name, plan in plans.items() if isinstance(plan, BatchPlan)}
        self._strikes, self._section, self._outside, self._changed = strikes, section, outside, changed
        self._loop = asyncio.get_running_loop()
        self._lobby: deque[tuple[Row, Lot, BatchPlan]] = deque()
        self._reading: dict[Member, asyncio.Task[None]] = {}
        self._gathering: dict[tuple[BatchPlan, Hashable], Group] = {}
        self._ready: deque[Group] = deque()
        self._free: list[Member] = []
        self._seats = self._seated = self._begun = 0  # that there are, that are taken, whose members run
        self.running = 0
        here = [plan for plan in plans.values() if plan.options.queue == plan.queue]
        self.share = sum(isinstance(plan, BatchPlan) for plan in here) / max(1, len(here))
        self._size = max(plan.batch.size for plan in self._plans.values())

    # What comes in

    def arrive(self, lot: Lot, rows: Sequence[Row]) -> list[Row]:
        """Deliveries, of which those of batches gather here; the others are returned."""
        others = [row for row in rows if not self._is_ours(lot, row)]
        self.share += ((1 - len(others) / max(1, len(rows))) - self.share) * LEARNS
        self._admit()
        return others

    def _is_ours(self, lot: Lot, row: Row) -> bool:
        _, task, value = row
        plan = self._plans.get(value[1] if task == RECORD else task)
        if plan is None:
            return False
        self._lobby.append((row, lot, plan))
        return True

    def _admit(self) -> None:
        """Those in the lobby take seats."""
        now = clock()
        while self._lobby and (member := self._free_seat()):
            row, lot, plan = self._lobby.popleft()
            self._seated += 1
            member.hold(row, lot, now)
            body = row[2][2] if member.is_recorded else row[2]
            if body is None:
                self._reading[member] = self._loop.create_task(self._read(member, plan))
            else:
                self._open(member, plan, body)

    def _free_seat(self) -> Member | None:
        if self._free:
            return self._free.pop()
        if self._seats == MEMBERS:
            return None
        self._seats += 1
        return Member(self._section.cell(), self._outside)

    async def _read(self, member: Member, plan: BatchPlan) -> None:
        """A payload that is kept apart from its entry."""
        try:
            body = await self._outside.body_of(member)
        except Exception as error:
            self._refuse(member, error)
        else:
            now_ms = member.lot.consumer.now_ms()
            strike = self._strikes.against(plan.name.encode(), body, now_ms)
            if strike is None:
                self._open(member, plan, body)
            else:
                self._refuse(member, Struck(strike))
        finally:
            self._reading.pop(member, None)

    def _open(self, member: Member, plan: BatchPlan, body: bytes) -> None:
        try:
            opened = plan.open(body)
            member.plan = plan
            if opened.options:
                plan.options_with(opened.options)
                member.carried = opened.options
            if member.is_recorded:
                member.refuse_late(plan)
            member.item = plan.item_of(member, opened.args, opened.kwargs)
            key = plan.batch.key_of(member.item)
            group = self._gathering.get((plan, key))
        except BaseException as error:
            self._refuse(member, error)
        else:
            self._join(member, group or self._new_group(plan, key))

    def _refuse(self, member: Member, error: BaseException) -> None:
        """It ends before it has begun."""
        self._outside.ended(member.lot, raised(member, clock(), error))
        self.leave([member])

    def _new_group(self, plan: BatchPlan, key: Hashable) -> Group:
        self._gathering[plan, key] = group = Group(plan, key)
        group.timer = self._loop.call_later(plan.batch.wait, self._be_ready, group)
        return group

    def _join(self, member: Member, group: Group) -> None:
        group.members.append(member)
        if len(group.members) >= group.plan.batch.size:
            self._be_ready(group)

    def _be_ready(self, group: Group) -> None:
        """It is complete, but for those whose deadlines came too near while they waited."""
        self._forget(group)
        group.members = [member for member in group.members if not self._is_late(member, group.plan)]
        if group.members:
            self._ready.append(group)
            self._changed()

    def _is_late(self, member: Member, plan: BatchPlan) -> bool:
        if not member.is_recorded:
            return False
        member.started = clock()
        try:
            member.refuse_late(plan)
        except TooLate as error:
            self._refuse(member, error)
            return True
        return False

    def _forget(self, group: Group) -> None:
        del self._gathering[group.plan, group.key]
        if group.timer is not None:
            group.timer.cancel()

    # What is known

    @property
    def waiting(self) -> int:
        """Members that have not begun."""
        return len(self._lobby) + self._seated - self._begun

    @property
    def ready(self) -> int:
        """Groups that could run."""
        return len(self._ready)

    def room(self, free: int) -> int:
        """How many more members could come, if so many slots are free."""
        return min(free * self._size - self.waiting, MEMBERS - self._seated - len(self._lobby))

    def held(self) -> list[tuple[Row, Lot]]:
        """All deliveries that have not begun."""
        groups = (*self._gathering.values(), *self._ready)
        seated = [*self._reading, *(member for group in groups for member in group.members)]
        return [(row, lot) for row, lot, _ in self._lobby] + [(one.row, one.lot) for one in seated]

    # What goes out

    def flush(self) -> None:
        """No more will come: those that gather are ready as they are."""
        for group in list(self._gathering.values()):
            self._be_ready(group)

    def hurry(self, slots: int) -> None:
        """When all seats are taken, no company can come: the oldest groups need not wait where a slot is free for them."""
        while self._seated == MEMBERS and self._gathering and len(self._ready) < slots:
            self._be_ready(next(iter(self._gathering.values())))

    def next(self) -> Group:
        """A group that is ready; it runs from now on."""
        group = self._ready.popleft()
        self.running += 1
        self._begun += len(group.members)
        return group

    def ended(self, members: Sequence[Member]) -> None:
        """A run is over."""
        self.running -= 1
        self._begun -= len(members)
        self.leave(members)
        self._admit()

    def leave(self, members: Sequence[Member]) -> None:
        """They have ended, or were taken back: their seats are free."""
        for member in members:
            member.rest()
            member.item = None
        self._seated -= len(members)
        self._free += members

    def withdraw(self, wanted: Wanted) -> list[tuple[Row, Lot]]:
        """Take back deliveries that have not begun."""
        found = [(row, lot) for row, lot, _ in self._lobby if wanted(row, lot)]
        self._lobby = deque(one for one in self._lobby if not wanted(one[0], one[1]))
        gone = [member for member in self._reading if wanted(member.row, member.lot)]
        for member in gone:
            self._reading.pop(member).cancel()
        for group in (*self._gathering.values(), *self._ready):
            gone += self._without(group, wanted)
        self._ready = deque(group for group in self._ready if group.members)
        found += [(member.row, member.lot) for member in gone]
        self.leave(gone)
        return found

    def _without(self, group: Group, wanted: Wanted) -> list[Member]:
        kept, gone = list[Member](), list[Member]()
        for member in group.members:
            (gone if wanted(member.row, member.lot) else kept).append(member)
        group.members = kept
        if not kept and group not in self._ready:
            self._forget(group)
        return gone
