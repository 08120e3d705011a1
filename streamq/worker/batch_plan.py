"""The plan of a batch: what is worked out for each item alone, and the call with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamq.batch import Batch, BatchTask
from streamq.handlers import Middleware
from streamq.resources import Container
from streamq.signature import generate
from streamq.task import Task
from streamq.wire import Payloads
from streamq.worker.plan import Call, Plan, bare, checked, without_context

__all__ = ["BatchPlan", "plan_of"]


def plan_of(task: Task[..., Any], queue: str, payloads: Payloads, layers: Sequence[Middleware] = ()) -> Plan:
    """The plan of any task, in one queue."""
    if isinstance(task, BatchTask):
        return BatchPlan(task, queue, payloads, layers)
    return Plan(task, queue, payloads, layers)


class BatchPlan(Plan):
    """``call(seat, [items], {})`` runs the handler.

    ``item_of(seat, args, kwargs)`` is the item of one payload, as its annotation says. It raises BadPayload, and the
    TypeError of a call that does not fit.
    """

    __slots__ = ("batch", "item_of")

    def __init__(self, task: BatchTask[Any, Any], *of_plan: Any) -> None:
        super().__init__(task, *of_plan)
        self.in_bulk = self.is_fast = False
        self.batch: Batch = task.batch
        take = generate(task.signature.parameters, task.signature.names[0])
        take.__qualname__ = task.name
        self.item_of: Call = checked(task, without_context(take, {}))

    def innermost(self, task: Task[..., Any], container: Container) -> Call:
        """The handler takes the list as it is: its items were converted one by one."""
        return bare(task, container)
