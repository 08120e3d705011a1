"""Members of a batch: each is a seat of its own, with its delivery, attempt and ending; a run is one Task for all of them.

So one bad member costs the others nothing, and whoever finds the process dead sees on the page which members had begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from streamq.context import BatchContext, Running
from streamq.errors import Cancelled, WrongCall, WrongResults
from streamq.journal import Desk
from streamq.protocol.consume import Row
from streamq.worker.endings import answered, raised, returned
from streamq.worker.outbox import Ending
from streamq.worker.seat import FOREVER, Lot, Runner, Seat
from streamq.worker.verdict import Stop

if TYPE_CHECKING:
    from streamq.worker.batch_plan import BatchPlan

__all__ = ["GroupRunner", "Member"]


class Member(Seat):
    """One delivery of a batch. ``item``: what the handler gets for it. ``runner``: who runs it, while it does."""

    __slots__ = ("item", "runner")

    item: Any
    runner: GroupRunner

    def hold(self, row: Row, lot: Lot, now: float) -> None:
        """A delivery takes the seat; it has not begun, so the page says nothing of it."""
        self.row, self.lot, self.started = row, lot, now
        self.plan = self.context = self.stop = None
        self.carried, self.is_given_up = {}, False

    def begin_with(self, runner: GroupRunner) -> None:
        """It runs from now on, for as long as the whole run may."""
        plan, carried = self.plan, self.carried
        self.begin(self.row, self.lot, runner.started)
        self.plan, self.carried, self.runner = plan, carried, runner
        self.limit, self.deadline = runner.limit, runner.deadline

    def open_desk(self) -> Desk:
        """Raises WrongCall."""
        raise WrongCall(
            "steps, cursors, signals and sleeps are of one job, and a batch runs many at once: "
            "let it enqueue a task for what needs them"
        )


class GroupRunner(Runner):
    """A Task that runs a handler once for many members. The times are its own; to the handler it is the first member.

    ``left``: how many members nobody has ended yet.
    """

    __slots__ = ("left", "members")

    members: Sequence[Member]

    def begin_all(self, plan: BatchPlan, members: Sequence[Member], now: float) -> None:
        """All begin."""
        options = plan.options
        self.plan, self.members, self.left = plan, members, len(members)
        self.row, self.lot, self.started, self.limit = members[0].row, members[0].lot, now, plan.limit
        self.deadline = self.cell.until(now + plan.limit)
        self.soft = FOREVER if options.soft_timeout is None else now + options.soft_timeout
        for member in members:
            member.begin_with(self)

    @property
    def seats(self) -> Sequence[Member]:
        """Its members."""
        return self.members

    @property
    def current(self) -> Running | None:
        """What it enqueues has no single parent."""
        return None

    def open_context(self) -> BatchContext:
        """The context of all, for handler and middleware."""
        jobs = [member.open_context() for member in self.members]

        def tell(said: dict[str, Any]) -> None:
            for job in jobs:
                job.tell(said)

        first = jobs[0]
        self.context = context = BatchContext(
            id=first.id,
            task=first.task,
            queue=first.queue,
            attempt=first.attempt,
            fence=min(job.fence for job in jobs),
            enqueued_ms=first.enqueued_ms,
            tell=tell,
            pack=first.pack,
            deadline_ms=first.deadline_ms,
            parent=first.parent,
            headers=first.headers,
            cancelled=self.stop is not None,
            desk=self.members[0].open_desk,
            jobs=jobs,
        )
        return context

    def end(self, stop: Stop) -> None:
        """The run is being ended, and with it those members that nobody has ended before."""
        super().end(stop)
        for member in self.members:
            if member.stop is None:
                member.end(stop)

    def end_member(self, member: Member, stop: Stop) -> bool:
        """One is ended; whether it was the last, so that there is nothing left to run for."""
        member.end(stop)
        self.left -= 1
        return self.left == 0

    def endings(self, ended: float, results: Sequence[Any]) -> Iterator[tuple[Lot, Ending]]:
        """How the members ended, by the result of each; plain completions are handed in."""
        for member, result in zip(self.members, results, strict=True):
            if (ending := _ending(member, ended, result)) is not None:
                yield member.lot, ending

    def for_each(self, results: Any) -> Sequence[Any]:
        """What the handler returned, a result for each member. Raises WrongResults."""
        if results is None:
            return [None] * len(self.members)
        if not isinstance(results, list | tuple):
            raise WrongResults(
                f"batch {self.known_plan.name} returned a value of type {type(results).__qualname__}; "
                "a list as long as that of the items is due, or None"
            )
        if len(results) != len(self.members):
            raise WrongResults(
                f"batch {self.known_plan.name} returned {len(results)} results for {len(self.members)} items; "
                "a list as long as that of the items is due, or None"
            )
        return results


def _ending(member: Member, ended: float, result: Any) -> Ending | None:
    if member.stop is Stop.CANCEL:
        return raised(member, ended, Cancelled())
    if isinstance(result, BaseException):
        return answered(member, ended, result)
    return returned(member, ended, result)
