"""A seat: where one job at a time runs, on the event loop or in a thread; and a lot: deliveries that came together.

A seat is what the rest of the worker sees of a running job: whose delivery it is, until when it may run, why it was
stopped. It writes into its cell of the shared page what it starts, so that whoever finds the process dead or stuck
knows what ran. It is also the ``current_job`` of its handler.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from streamq.context import Context, Running
from streamq.flows.given import flow_of
from streamq.journal import Desk
from streamq.protocol.consume import RECORD, Row
from streamq.worker.deadlines import refuse_late
from streamq.worker.rows import LANES, cost_of, job_of, lane_of
from streamq.worker.verdict import Attempt, Stop

if TYPE_CHECKING:
    from streamq.worker.consumer import Consumer
    from streamq.worker.outside import Outside
    from streamq.worker.page import Cell
    from streamq.worker.plan import Plan

__all__ = ["FOREVER", "Lot", "Runner", "Seat"]

FOREVER = float("inf")
DEADLINE = 7  # the place of the deadline in a row with a record


class Lot:
    """The deliveries of one level that one reply brought.

    ``done`` takes plain completions, as (entry, plan, started, ended, result). ``is_of_lanes``: they waited in lanes, so that
    their entries do not say which jobs they are.
    """

    __slots__ = ("consumer", "done", "fence", "is_of_lanes", "level", "prefix")

    def __init__(self, consumer: Consumer, level: bytes, fence: int) -> None:
        self.consumer, self.level, self.fence = consumer, level, fence
        self.prefix, self.is_of_lanes = level + b"-", level == LANES
        self.done = consumer.outbox.plain(level).append


class Seat:
    """What runs now. ``deadline`` is on the monotonic clock; ``stop`` says why the worker ended the handler.

    ``waits_for``: what the job waits for, when that is why.
    ``is_given_up``: the handler goes on although it was ended long ago, and its delivery was settled without it.
    """

    __slots__ = (
        "carried",
        "cell",
        "context",
        "deadline",
        "is_given_up",
        "limit",
        "lot",
        "outside",
        "plan",
        "row",
        "soft",
        "started",
        "stop",
        "waits_for",
        "warned",
    )

    lot: Lot
    row: Row

    def __init__(self, cell: Cell, outside: Outside) -> None:
        self.cell, self.outside = cell, outside
        self.plan: Plan | None = None
        self.carried: Mapping[str, Any] = {}
        self.context: Context | None = None
        self.stop: Stop | None = None
        self.deadline = self.soft = FOREVER
        self.limit = self.started = 0.0
        self.waits_for = ""
        self.warned = self.is_given_up = False

    @property
    def seats(self) -> Sequence[Seat]:
        """Whose deliveries run here: one's own; in a batch, those of all its members."""
        return (self,)

    @property
    def current(self) -> Running | None:
        """The parent of what its handler enqueues."""
        return self

    @property
    def known_plan(self) -> Plan:
        """The plan of the job that sits here."""
        if self.plan is None:
            raise RuntimeError("nobody sits here whose task is known")
        return self.plan

    @property
    def id(self) -> str:
        """The full id of the job."""
        return f"{self.lot.consumer.place}-{self.local_id}"

    @property
    def local_id(self) -> str:
        """The id of the job inside its shard."""
        entry, task, value = self.row
        local: bytes = value[0] if task == RECORD else job_of(self.lot.level, entry)
        return local.decode()

    @property
    def is_recorded(self) -> bool:
        """Whether the job has a record."""
        return self.row[1] == RECORD

    @property
    def task_name(self) -> str:
        """What the delivery says it is for."""
        name: bytes = self.row[2][1] if self.is_recorded else self.row[1]
        return name.decode("utf-8", "replace")

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return int(self.row[2][3] or 0) + 1 if self.is_recorded else 1

    @property
    def created_ms(self) -> int:
        """When the job was put in, in milliseconds of the shard."""
        if self.is_recorded:
            return int(self.row[2][4] or 0)
        return int(job_of(self.lot.level, self.row[0]).split(b"-")[1])

    @property
    def lane(self) -> str | None:
        """The lane that the job waited in, if it did."""
        return lane_of(self.row)

    def time_left(self, now: float) -> float:
        """Seconds until the job's own deadline."""
        deadline_ms = self.row[2][DEADLINE] if self.is_recorded and len(self.row[2]) > DEADLINE else None
        return FOREVER if deadline_ms is None else deadline_ms / 1000 - self.lot.consumer.wall - now

    def refuse_late(self, plan: Plan) -> None:
        """Raise TooLate when the job, begun now, would usually not be finished before its deadline."""
        refuse_late(self.time_left(self.started), plan.tally.usual.mean(self.started))

    def begin(self, row: Row, lot: Lot, now: float) -> None:
        """Another job takes the seat."""
        self.row, self.lot, self.started = row, lot, now
        self.plan = self.context = self.stop = None
        self.carried, self.warned, self.waits_for = {}, False, ""
        self.deadline = self.soft = FOREVER
        entry, task, value = row
        delivery = lot.prefix + entry
        if task == RECORD:
            self.cell.describe(delivery, value[0], value[1])
        elif lot.is_of_lanes:
            self.describe(entry, task)
        self.cell.start(delivery)

    def describe(self, entry: bytes, task: bytes) -> None:
        """Say which job a plain delivery from a lane is: its entry alone does not."""
        self.cell.describe(self.lot.prefix + entry, job_of(self.lot.level, entry), task)

    def allow(self, plan: Plan, carried: Mapping[str, Any]) -> None:
        """The task is known: from now on the handler has its time. ``carried``: the options that its payload brought.

        The job's own deadline bounds it too. Raises BadPayload when the options cannot be used, and TooLate.
        """
        self.plan, self.carried = plan, carried
        options = plan.options_with(carried)
        self.refuse_late(plan)
        left = self.time_left(self.started)
        self.limit = min(left, FOREVER if options.timeout is None else options.timeout)
        self.deadline = self.cell.until(self.started + self.limit)
        self.soft = FOREVER if options.soft_timeout is None else self.started + options.soft_timeout

    def open_context(self) -> Context:
        """The context of the job; made when somebody wants it."""
        if self.context is None:
            plan = self.known_plan
            job = self.local_id
            wall = time.time() + self.deadline - time.monotonic()

            def tell(told: dict[str, Any]) -> None:
                if self.context is context:  # else its job has ended, and another one sits here
                    self.outside.tell(self, told)

            self.context = context = Context(
                id=self.id,
                task=plan.name,
                queue=plan.queue,
                attempt=self.attempt,
                fence=self.lot.fence,
                enqueued_ms=self.created_ms,
                tell=tell,
                pack=lambda value: plan.pack_partial(value, job),
                deadline_ms=None if self.deadline == FOREVER else round(wall * 1000),
                parent=self.carried.get("parent"),
                headers=self.carried.get("headers") or {},
                cancelled=self.stop is not None,
                schedule=self.carried.get("schedule"),
                scheduled_ms=self.carried.get("scheduled"),
                desk=self.open_desk,
                lane=self.lane,
                cost=cost_of(self.row),
                flow=flow_of(self.carried),
            )
        return self.context

    def open_desk(self) -> Desk:
        """Where its handler deals with the server."""
        return self.outside.open_desk(self)

    def suspend(self, what: str) -> None:
        """The handler is over: the job waits for something, whatever is still returned or raised."""
        if self.stop is None:
            self.stop, self.waits_for = Stop.WAIT, what

    def end(self, stop: Stop) -> None:
        """The handler is being ended; its context says so unless it is merely late."""
        self.stop = stop
        if self.context is not None and stop is not Stop.TIMEOUT:
            self.context.cancelled = True

    def end_by(self, stop: Stop, until: float) -> None:
        """The same, and until then it must have ended.

        When the worker leaves, the page goes on to say the handler's own deadline: from outside it is not late before that.
        """
        self.end(stop)
        self.cell.until(max(until, self.deadline) if stop is Stop.SHUTDOWN else until)
        self.deadline = until

    def described(self, misfit: bool = False, entered: bool = False) -> Attempt:
        """This run, for its judge."""
        age = self.lot.consumer.mono_ms() - self.created_ms
        chance = random.random()  # noqa: S311 - spreads load, keeps no secret
        options = self.known_plan.options_with(self.carried)
        return Attempt(
            self.attempt,
            age / 1000,
            options,
            chance,
            self.stop,
            self.limit,
            misfit,
            self.is_given_up,
            entered,
            self.waits_for,
            self.time_left(time.monotonic()),
            self.lane,
        )

    def rest(self) -> None:
        """Nobody sits here for a while."""
        self.plan = self.context = None
        self.deadline = self.soft = FOREVER
        self.cell.clear()


class Runner(Seat):
    """A Task that runs jobs."""

    __slots__ = ("task",)

    task: asyncio.Task[None]
