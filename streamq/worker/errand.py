"""What passes between a worker process and the process of an isolated job, and what that sees in place of a seat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from streamq.context import Context
from streamq.flows.given import flow_of
from streamq.protocol.keys import JobId
from streamq.worker.distant import DistantDesk, Place
from streamq.worker.seat import FOREVER
from streamq.worker.verdict import Stop, Verdict

if TYPE_CHECKING:
    from streamq.wire import Payloads

__all__ = ["Answer", "Errand", "StandIn"]


@dataclass(frozen=True, slots=True)
class Errand:
    """What the job's process is told."""

    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    id: str
    queue: str
    attempt: int
    age: float
    fence: int
    enqueued_ms: int
    deadline_ms: int | None
    soft: float | None
    limit: float | None
    carried: dict[str, Any] = field(default_factory=dict)
    lane: str | None = None
    cost: float = 1.0


class Answer(msgspec.Struct):
    """What it says: that it lives, how far it is, what it asks the server, what it returned, or how it ended otherwise."""

    pid: int | None = None
    told: dict[str, Any] | None = None
    asked: tuple[str, list[Any]] | None = None
    result: Any = None
    verdict: Verdict | None = None
    is_last: bool = False


class StandIn:
    """What a handler's call and its soft timeout see of a seat."""

    def __init__(
        self,
        errand: Errand,
        say: Callable[[dict[str, Any]], None],
        payloads: Payloads,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self.warned, self.started, self.waits_for = False, 0.0, ""
        self.stop: Stop | None = None
        self.soft = FOREVER if errand.soft is None else errand.soft
        self.limit = FOREVER if errand.limit is None else errand.limit
        headers: Mapping[str, str] = errand.carried.get("headers") or {}
        job = JobId.parse(errand.id).local
        place = Place(errand.queue, errand.task, job)
        self._context = Context(
            errand.id,
            errand.task,
            errand.queue,
            errand.attempt,
            errand.fence,
            errand.enqueued_ms,
            say,
            lambda value: payloads.pack_partial(errand.queue, errand.task, value, job),
            errand.deadline_ms,
            errand.carried.get("parent"),
            headers,
            schedule=errand.carried.get("schedule"),
            scheduled_ms=errand.carried.get("scheduled"),
            desk=lambda: DistantDesk(
                place, payloads, streams, lambda asked: Answer(asked=asked), self._suspend
            ),
            lane=errand.lane,
            cost=errand.cost,
            flow=flow_of(errand.carried),
        )

    def _suspend(self, what: str) -> None:
        self.stop, self.waits_for = Stop.WAIT, what

    def open_context(self) -> Context:
        """The job's context."""
        return self._context

    def warn(self, task: asyncio.Task[Any] | None) -> None:
        """The soft timeout is over."""
        self.warned = True
        if task is not None:
            task.cancel()
