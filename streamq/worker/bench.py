"""The bench: where the jobs of one queue run, ``slots`` at a time. This is the worker's inner loop.

Three ideas make it cheap. A *runner* is an asyncio Task that takes job after job; it is used again only after a job
that never suspended, changed no context variable and was not cancelled, else a fresh Task follows. No timer is made for
a job: the runners are looked at 20 times a second. And nothing here talks to the server: endings go into an outbox.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from typing import TYPE_CHECKING, Any

from streamq.context import current_job
from streamq.flows.given import GIVEN
from streamq.protocol.consume import RECORD, Row
from streamq.protocol.strikes import Strike
from streamq.worker.batch_plan import BatchPlan
from streamq.worker.cancellations import Cancellations
from streamq.worker.endings import UnknownTask, given_up, raised, returned, unbegun, untouched
from streamq.worker.group import GroupRunner, Member
from streamq.worker.group_runs import GroupRuns
from streamq.worker.groups import Groups
from streamq.worker.outbox import Ending
from streamq.worker.outside import Outside
from streamq.worker.page import Section
from streamq.worker.plan import Call, Place, Plan
from streamq.worker.seat import FOREVER, Lot, Runner, Seat
from streamq.worker.soft import Softly
from streamq.worker.strikes import Strikes, Struck
from streamq.worker.threads import GRACE, Threads, ThreadSeat
from streamq.worker.verdict import Stop, struck

if TYPE_CHECKING:
    from streamq.worker.consumer import Consumer

__all__ = ["Bench"]

TURN = 0.002  # seconds of jobs between two turns of the event loop
FASTEST_START = 64  # runners started in one turn
clock = time.monotonic


class Bench:
    """``plans`` by the task's name in bytes; ``section`` is the queue's part of the shared page."""

    def __init__(self, plans: Mapping[bytes, Plan], slots: int, section: Section, outside: Outside) -> None:
        self.plans, self.slots, self._section, self._outside = plans, slots, section, outside
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[Row, Lot]] = deque()
        self._runners: set[Runner] = set()
        self._base = contextvars.copy_context()
        self._turn, self._turn_ends, self._starts = 0, 0.0, 1
        self._armed = self._yielding = False
        self.threads = Threads(slots, section, outside, self._arm)
        self.is_stopping = False
        self._hung: Ending | None = None
        self._cancellations = Cancellations()
        self._has_bulk = any(plan.in_bulk for plan in plans.values())
        self.strikes = Strikes(plans)
        has_batches = any(isinstance(plan, BatchPlan) for plan in plans.values())
        self.groups = Groups(plans, self.strikes, section, outside, self._arm) if has_batches else None
        self._runs = GroupRuns(self._runners, section, outside, self._arm, self._failed)

    # What comes in

    def arrive(self, lot: Lot, rows: list[Row]) -> None:
        """Deliveries to run, or to hand back when a strike stops them."""
        if self.strikes:
            rows = [row for row in rows if not self._put_aside(row, lot)]
        if self.groups is not None:
            rows = self.groups.arrive(lot, rows)
        if self._has_bulk:
            rows = [row for row in rows if not self._for_threads(lot, row)]
        self._queue.extend(zip(rows, repeat(lot), strict=False))
        self._arm()

    def heed(self, strikes: Iterable[Strike]) -> None:
        """These strikes stand, and no others: what they stop and has not begun is handed back."""
        self.strikes.learn(strikes)
        if self.strikes:
            for row, lot in self.withdraw(self._is_struck):
                self._put_aside(row, lot)

    def _is_struck(self, row: Row, lot: Lot) -> bool:
        return self.strikes.stopping(row, lot.consumer.now_ms()) is not None

    def _put_aside(self, row: Row, lot: Lot) -> bool:
        """Hand a delivery back if a strike stops it."""
        strike = self.strikes.stopping(row, lot.consumer.now_ms())
        if strike is not None:
            lot.consumer.outbox.add(unbegun(row, lot, struck(strike)))
        return strike is not None

    def _for_threads(self, lot: Lot, row: Row) -> bool:
        _, task, value = row
        plan = self.plans.get(value[1] if task == RECORD else task)
        if plan is None or not plan.in_bulk or (task == RECORD and value[2] is None):
            return False
        self.threads.arrive(row, lot, plan)
        return True

    # What is known

    @property
    def running(self) -> int:
        """Slots in use."""
        return len(self._runners) + self.threads.running

    @property
    def waiting(self) -> int:
        """Deliveries that have not begun."""
        gathering = 0 if self.groups is None else self.groups.waiting
        return len(self._queue) + self.threads.waiting + gathering

    @property
    def free(self) -> int:
        """Slots that nobody uses."""
        return max(0, self.slots - self.running)

    @property
    def is_idle(self) -> bool:
        """Nothing runs and nothing waits; what was given up does not count."""
        if self._queue or not self.threads.is_idle or (self.groups is not None and self.groups.waiting):
            return False
        return not self._runners or all(runner.is_given_up for runner in self._runners)

    def seats(self) -> Iterable[Seat]:
        """All that run now."""
        return [*self._seats(), *self.threads.busy()]

    def _seats(self) -> Iterable[Seat]:
        return (seat for runner in self._runners for seat in runner.seats if seat.plan is not None)

    @property
    def hung(self) -> Ending | None:
        """How a job was settled whose handler goes on although it was ended: only the end of the process ends that."""
        return self._hung or self.threads.hung

    def held(self, consumer: Consumer) -> set[tuple[bytes, bytes]]:
        """A consumer's deliveries that run or wait here, as level and entry."""
        running = [(seat.row, seat.lot) for seat in self._seats()]
        gathering = [] if self.groups is None else self.groups.held()
        held = (*self._queue, *running, *gathering, *self.threads.held())
        return {(lot.level, row[0]) for row, lot in held if lot.consumer is consumer}

    # What is ended from outside

    def scan(self, now: float) -> None:
        """Look for handlers that are late: a soft timeout is an exception, a hard one the end."""
        for runner in self._runners:
            if runner.deadline < now:
                self._late(runner, now)
            elif runner.soft < now and not runner.warned:
                runner.warned = True
                runner.task.cancel()
        self.threads.scan(now)

    def cancel(self, level: bytes, entry: bytes) -> bool:
        """End the handler of a delivery because somebody cancelled it; False when it does not run here."""
        for seat in self.seats():
            if seat.row[0] == entry and seat.lot.level == level:
                return self.end_seat(seat, Stop.CANCEL)
        return False

    def end(self, stop: Stop, consumer: Consumer | None = None) -> None:
        """End all handlers that run, or those of one consumer's deliveries."""
        for seat in self.seats():
            if consumer is None or seat.lot.consumer is consumer:
                self.end_seat(seat, stop)

    def withdraw(self, wanted: Callable[[Row, Lot], bool]) -> list[tuple[Row, Lot]]:
        """Take back deliveries that have not begun."""
        found = [item for item in self._queue if wanted(*item)]
        if found:
            kept = [item for item in self._queue if not wanted(*item)]
            self._queue.clear()
            self._queue.extend(kept)
        if self.groups is not None:
            found += self.groups.withdraw(wanted)
        return found + self.threads.withdraw(wanted)

    def end_seat(self, seat: Seat, stop: Stop) -> bool:
        """End one handler; False when it is being ended already."""
        if seat.stop not in (None, Stop.WAIT):
            return False
        if isinstance(seat, ThreadSeat):
            self.threads.end(seat, stop)
        elif isinstance(seat, Member):
            if seat.runner.end_member(seat, stop):
                self.end_seat(seat.runner, stop)
        elif isinstance(seat, GroupRunner):
            seat.end_by(stop, clock() + GRACE)
            self._loop.call_soon(
                seat.task.cancel
            )  # behind its first step, without which it would settle nothing
        elif isinstance(seat, Runner):
            seat.end_by(stop, clock() + GRACE)
            seat.task.cancel()
        return True

    def _late(self, runner: Runner, now: float) -> None:
        if runner.stop in (None, Stop.WAIT):
            self.end_seat(runner, Stop.TIMEOUT)
            return
        for seat in runner.seats:
            self._hung = given_up(seat, now)
            self._outside.ended(seat.lot, self._hung)
        runner.is_given_up, runner.deadline = True, runner.cell.until(FOREVER)
        self._arm()

    # Turns of the loop

    def _arm(self) -> None:
        """Ask for a turn of the event loop. A runner does it before it runs jobs: so it notices that one suspended."""
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._armed = False
        self._turn += 1
        self._turn_ends = clock() + TURN
        self.threads.feed(self.slots - len(self._runners))
        if self._yielding:  # a runner gave way, and goes on by itself
            self._yielding = False
            self._arm()
        elif self._queue and self.running < self.slots:  # those that run are all suspended: 1, 2, 4 … more
            for _ in range(min(self._starts, len(self._queue), self.slots - self.running)):
                self._start()
            self._starts = min(self._starts * 2, FASTEST_START)
        else:
            self._starts = 1
        if self.groups is not None:
            self._start_groups(self.groups)
        self._outside.changed()

    def flush(self) -> None:
        """No more will come: groups that gather begin as they are, those for which there is a slot."""
        if self.groups is not None:
            self.groups.flush()
            self._start_groups(self.groups)

    def _start_groups(self, groups: Groups) -> None:
        if self.is_stopping:
            groups.flush()
        self._runs.start(groups, self.slots - self.running)

    def _start(self) -> None:
        runner = Runner(self._section.cell(), self._outside)
        self._runners.add(runner)
        runner.task = asyncio.Task(self._run(runner), loop=self._loop, context=self._base.copy())

    # The inner loop

    async def _run(self, runner: Runner) -> None:  # noqa: C901 - the one fast path
        """Job after job, until one leaves something behind in this Task.

        Written for speed: 2.4 µs a no-op job of which the payload is 0.4 (2026-11-24), against 8 µs with a Task, a timer
        and a ``Seat.begin`` for each. What is not plain goes to ``_attend``.
        """
        current_job.set(runner)
        copy_context, task, queue = contextvars.copy_context, runner.task, self._queue
        clean, plan_of, begin, until = copy_context(), self.plans.get, runner.cell.start, runner.cell.until
        self._arm()
        started = clock()
        try:
            while started > self._turn_ends:  # the turn is over: many short-lived runners must not stretch it
                await self._give_way()
                started = clock()
            while queue:
                runner.row, runner.lot = row, lot = queue.popleft()
                runner.plan, runner.started, turn = None, started, self._turn
                entry, task_name, body = row
                begin(lot.prefix + entry)
                if lot.is_of_lanes and task_name != RECORD:
                    runner.describe(entry, task_name)
                try:
                    plan = plan_of(task_name)
                    if plan is None or not plan.is_fast:
                        quick, result = False, await self._attend(runner)
                    else:
                        runner.plan, runner.limit = plan, plan.limit
                        opened = plan.open(body)
                        if opened.options:
                            quick, result = False, await self._attend(runner)
                        else:
                            quick, runner.deadline = True, until(started + plan.limit)
                            result = await plan.call(runner, opened.args, opened.kwargs)
                except GeneratorExit:  # the loop is being closed
                    raise
                except BaseException as error:
                    self._failed(runner, error)
                    return
                ended = clock()
                if quick and runner.stop is None:
                    lot.done((entry, plan, started, ended, result))
                else:
                    self._returned(runner, ended, result)
                try:
                    used = turn != self._turn or task.cancelling() or copy_context() != clean
                except Exception:  # an odd __eq__ of a value in the context
                    used = True
                if used or runner.stop is not None:
                    return
                started, runner.context = ended, None
                if ended > self._turn_ends:
                    runner.rest()
                    await self._give_way()
                    started = clock()
        finally:
            self._runners.discard(runner)
            runner.cell.close()
            if queue and not self.is_stopping and not self.threads.is_starved:
                self._start()
            else:
                self._arm()

    async def _give_way(self) -> None:
        """Let heartbeats, sockets and suspended jobs have the next turn."""
        self._yielding = True
        await asyncio.sleep(0)
        self._arm()

    async def _attend(self, runner: Runner) -> Any:
        """Run a job that is not plain: it has a record, options of its own, a soft timeout, or an unknown task."""
        row, lot = runner.row, runner.lot
        runner.begin(row, lot, runner.started)
        _, name, body = row
        if name == RECORD:
            _, name, body, *_ = body
        plan = self.plans.get(name)
        if plan is None:
            raise UnknownTask(name.decode("utf-8", "replace"))
        runner.plan = plan
        if body is None:
            body = await self._outside.body_of(runner)
            if (strike := self.strikes.against(name, body, lot.consumer.now_ms())) is not None:
                raise Struck(strike)
        opened = plan.open(body)
        runner.allow(plan, opened.options)
        if GIVEN in opened.options:
            await self._outside.give(runner, opened)
        if plan.in_bulk:
            run = self.hop(runner, plan, plan.call, opened.args, opened.kwargs)
        else:
            run = plan.call(runner, opened.args, opened.kwargs)
        return await (run if runner.soft == FOREVER else Softly(runner, run))

    def _failed(self, runner: Runner, error: BaseException) -> None:
        """Hand in the endings of what a handler ran for that has raised."""
        ended, is_strange = clock(), self._cancellations.is_strange(runner, error)
        for seat in runner.seats:
            if is_strange and seat.stop is None:
                ending = untouched(seat, "snooze", "its asyncio task was cancelled by code of a job")
            else:
                ending = raised(seat, ended, error)
            self._outside.ended(seat.lot, ending)

    def _returned(self, runner: Runner, ended: float, result: Any) -> None:
        ending = returned(runner, ended, result)
        plan = runner.plan
        if ending is not None:
            self._outside.ended(runner.lot, ending)
        if plan is not None and plan.options.settle_each:
            self._outside.settle_soon()
        runner.carried, runner.soft = {}, FOREVER

    async def hop(self, seat: Seat, plan: Plan, call: Call, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run a handler that is not on the loop, and wait for it."""
        if plan.place is Place.PROCESS:
            return await self._outside.isolate(seat, plan, args, kwargs)
        return await self.threads.run(seat, call, args, kwargs)
