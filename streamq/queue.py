"""The driver: every operation on one queue, below tasks and apps. Bodies are bytes, ids are local to the shard.

A ``Queue`` does nothing by itself: its methods make operations, and an engine carries them, blocking or awaited, wherever
its URL leads. So there is one definition for both worlds:

    engine.run(queue.stats())            # a sync engine
    await engine.run(queue.stats())      # an async one
    follow(engine, queue.purge())        # an operation of several calls (a Flow); or follow_async
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from streamq.engines.base import Engine
from streamq.errors import StreamqError
from streamq.protocol import Argument, Call, Flow, consume, control, inspect, results, strikes
from streamq.protocol.consume import Adopted, Finished, Registered, Renewed, Taken
from streamq.protocol.enqueue import ANONYMOUS, Enqueued, NewJob, enqueue
from streamq.protocol.inspect import Balance, Change, Minute, Page, WorkerInfo
from streamq.protocol.keys import JobId, anchor_of
from streamq.protocol.results import Ending
from streamq.protocol.strikes import Strike

__all__ = ["Carrier", "Queue", "follow", "follow_async"]

R = TypeVar("R")


class Carrier(Protocol):
    """What carries calls of an event loop: an AsyncEngine, or a link."""

    async def run(self, call: Call[R]) -> R:
        """Carry one call and read its answer."""
        ...


def follow(engine: Engine, flow: Flow[R]) -> R:
    """Carry a conversation to its end; its value. What the engine raises is raised where the flow waits."""
    try:
        call = next(flow)
        while True:
            try:
                answer = engine.run(call)
            except StreamqError as error:
                call = flow.throw(error)
            else:
                call = flow.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def follow_async(engine: Carrier, flow: Flow[R]) -> R:
    """Carry a conversation to its end; its value. What the engine raises is raised where the flow waits."""
    try:
        call = next(flow)
        while True:
            try:
                answer = await engine.run(call)
            except StreamqError as error:
                call = flow.throw(error)
            else:
                call = flow.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


class Queue:
    """Every operation on one shard of one queue. ``now`` (ms) is given to every call; 0 is the server's clock."""

    def __init__(self, queue: str, *, namespace: str = "sq", shard: int | None = None, now: int = 0) -> None:
        self.name, self.shard, self.now = queue, shard, now
        self.anchor = anchor_of(namespace, queue, shard)

    def job_id(self, local: str) -> str:
        """The id that people see for a local one."""
        return str(JobId(self.name, self.shard, local))

    def push(
        self, jobs: Sequence[NewJob], *, producer: str = ANONYMOUS, channel: int = 0, seq: int = 0
    ) -> Call[Enqueued]:
        """Add at most 1,000 jobs; their local ids."""
        return enqueue(self.anchor, self.now, producer, channel, seq, jobs)

    def register(self, lease_ms: int = 30_000, about: str = "") -> Call[Registered]:
        """A new consumer."""
        return consume.register(self.anchor, self.now, lease_ms, about)

    def pop(
        self,
        consumer: str,
        n: int = 1,
        *,
        generation: int = 0,
        isolate: int = 0,
        settlements: Sequence[Argument] = (),
    ) -> Call[Taken]:
        """Settle, then take up to ``n`` deliveries."""
        return consume.take(self.anchor, self.now, consumer, generation, n, isolate, settlements)

    def settle(
        self, consumer: str, settlements: Sequence[Argument], *, generation: int = 0
    ) -> Call[Finished]:
        """Settle deliveries; ``consume.plain`` and ``consume.settle`` make settlements."""
        return consume.finish(self.anchor, self.now, consumer, generation, settlements)

    def release(self, consumer: str, level: str, entry: str, *, generation: int = 0) -> Call[Finished]:
        """Hand a delivery back; somebody else takes it at once, no attempt is spent."""
        return self.settle(consumer, consume.settle("release", level, entry), generation=generation)

    def adopt(self, consumer: str, generation: int) -> Call[Adopted]:
        """What the consumer owns, after its connection broke."""
        return consume.adopt(self.anchor, self.now, consumer, generation)

    def renew(self, consumers: Iterable[str], lease_ms: int = 30_000) -> Call[Renewed]:
        """Renew leases."""
        return consume.renew(self.anchor, self.now, lease_ms, consumers)

    def abandon(
        self, consumer: str, *, alone: bool = False, how: str = "", suspects: Iterable[str] = ()
    ) -> Call[int]:
        """A consumer's process is dead; how many deliveries moved."""
        return consume.abandon(self.anchor, self.now, consumer, alone=alone, how=how, suspects=suspects)

    def retire(self, consumer: str) -> Call[int]:
        """A consumer leaves; how many deliveries moved."""
        return consume.retire(self.anchor, self.now, consumer)

    def recover(self) -> Call[int]:
        """Give back what consumers hold whose lease is over; how many moved."""
        return consume.recover(self.anchor, self.now)

    def pause(self, note: str = "") -> Call[bool]:
        """Give workers nothing more."""
        return control.pause(self.anchor, self.now, note)

    def resume(self) -> Call[bool]:
        """The opposite of pause."""
        return control.resume(self.anchor, self.now)

    def cancel(self, job: str) -> Call[str]:
        """``CANCELLED``, ``ASKED`` or ``GONE``."""
        return control.cancel(self.anchor, self.now, job)

    def promote(self, job: str) -> Call[bool]:
        """A scheduled or retrying job runs now."""
        return control.promote(self.anchor, self.now, job)

    def retry(self, job: str, replacement: tuple[str, bytes] | None = None) -> Call[bool]:
        """A dead job runs again."""
        return control.retry(self.anchor, self.now, job, replacement)

    def retry_all(self, **filters: Argument) -> Flow[int]:
        """All dead jobs that match (task, error, reason, tag) run again; how many."""
        return control.retry_all(self.anchor, self.now, _flat(filters))

    def drop(self, job: str) -> Call[bool]:
        """Remove one dead job."""
        return control.drop(self.anchor, self.now, job)

    def signal(self, job: str, name: str, body: Argument, *, replace: bool = False) -> Call[bool]:
        """Send a job a signal; False when it had one of that name before."""
        return control.signal(self.anchor, self.now, job, name, body, replace=replace)

    def purge(self, what: str = "pending") -> Flow[int]:
        """Remove all pending, delayed, waiting, suspended or dead jobs; how many."""
        return control.purge(self.anchor, self.now, what)

    def remove(self) -> Call[bool]:
        """The queue goes away with its figures; False when there is none. Raises WrongState while it has jobs or workers."""
        return control.remove(self.anchor, self.now)

    def strike(self, strike_id: str, task: str, where: Mapping[str, str], **options: Argument) -> Call[bool]:
        """Stop a task, or its jobs whose arguments match; ``for``, ``until``, ``note``, ``by``."""
        return strikes.strike(self.anchor, self.now, strike_id, task, where, options)

    def unstrike(self, strike_id: str, by: str = "") -> Call[bool]:
        """Lift a strike; False when there is none."""
        return strikes.unstrike(self.anchor, self.now, strike_id, by)

    def strikes(self) -> Call[list[Strike]]:
        """The strikes that stand."""
        return strikes.strikes(self.anchor, self.now)

    def stats(self) -> Call[dict[str, str]]:
        """Counters, depths and switches."""
        return inspect.stats(self.anchor, self.now)

    def job(self, job: str) -> Call[dict[str, str]]:
        """The fields of a job."""
        return inspect.job(self.anchor, self.now, job)

    def explain(self, job: str) -> Call[list[str]]:
        """What a job waits for, in sentences; the first is its state."""
        return inspect.explain(self.anchor, self.now, job)

    def journal(self, job: str) -> Call[dict[str, bytes]]:
        """What a job has noted and was sent, by field."""
        return inspect.journal(self.anchor, self.now, job)

    def list_jobs(self, what: str, start: str = "-", count: int = 50) -> Call[Page]:
        """A page of pending, active, delayed, waiting, suspended, dead or tag:<tag>."""
        return inspect.list_jobs(self.anchor, self.now, what, start, count)

    def workers(self) -> Call[list[WorkerInfo]]:
        """The consumers."""
        return inspect.workers(self.anchor, self.now)

    def minutes(self, first: int, last: int) -> Call[list[Minute]]:
        """Statistics by the minute."""
        return inspect.minutes(self.anchor, self.now, first, last)

    def audit(self, count: int = 50) -> Call[list[Change]]:
        """What people changed at run time, newest first."""
        return inspect.audit(self.anchor, self.now, count)

    def conservation(self) -> Call[Balance]:
        """Whether the counters agree with the structures."""
        return inspect.conservation(self.anchor, self.now)

    def wait(self, job: str, reply_key: str) -> Call[Ending]:
        """How a job ended, or ``waiting``."""
        return results.wait(self.anchor, self.now, job, reply_key)


def _flat(filters: dict[str, Argument]) -> list[Argument]:
    return [part for pair in filters.items() for part in pair]
