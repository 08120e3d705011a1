"""From a call to the job that the server is sent: its payload, its options, and the lane that its arguments say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from streamq.context import current_job
from streamq.limits.route import Route
from streamq.protocol import Argument
from streamq.protocol.enqueue import NewJob

if TYPE_CHECKING:
    from streamq.task import Call, Task

__all__ = ["packed_with", "packing", "packing_with"]


def packing(task: Task[..., Any], queue: str = "") -> Callable[[Call[Any]], NewJob]:
    """What packs calls of a task, as things are now: for many calls, its questions are asked once.

    What it returns raises PayloadTooLarge, and WrongCall for what cannot be packed.
    """
    sending, hooks, parent = task.sending, task.app.outgoing_hooks, current_job.get()
    if parent is None and not hooks and sending.is_uniform:
        return packing_with(task, queue, sending.carried, sending.pairs) if queue else task.pack_plain
    if parent is None and not hooks and sending.rule is None:
        return _in_lanes(sending.route, packing_with(task, queue, sending.carried, sending.pairs))

    def told(call: Call[Any]) -> NewJob:
        arguments = task.signature.bind(*call.args, **call.kwargs)
        return packing_with(task, queue, *sending.told(task.name, arguments, parent, hooks))(call)

    return _in_lanes(sending.route, told)


def packed_with(call: Call[Any], more: dict[str, Any], pairs: tuple[Argument, ...]) -> NewJob:
    """One call packed with more than its task says: what it carries, and pairs for the server.

    Raises PayloadTooLarge, and WrongCall for what cannot be packed.
    """
    task = call.task
    arguments = task.signature.bind(*call.args, **call.kwargs)
    carried, told = task.sending.told(task.name, arguments, current_job.get(), task.app.outgoing_hooks)
    packed = packing_with(task, "", {**(carried or {}), **more}, (*told, *pairs))
    return _in_lanes(task.sending.route, packed)(call)


def _in_lanes(route: Route | None, pack: Callable[[Call[Any]], NewJob]) -> Callable[[Call[Any]], NewJob]:
    """Packs calls too, and says of each into which lane it goes."""
    if route is None:
        return pack
    lane_of = route.pairs

    def packed(call: Call[Any]) -> NewJob:
        lane, job = lane_of(*call.args, **call.kwargs), pack(call)
        return NewJob(job.task, job.body, job.level, (*lane, *job.options)) if lane else job

    return packed


def packing_with(
    task: Task[..., Any], queue: str, carried: dict[str, Any] | None, pairs: tuple[Argument, ...]
) -> Callable[[Call[Any]], NewJob]:
    """What packs calls that all carry the same, and have the same pairs."""
    app, sending = task.app, task.sending
    pack, inline_max, level = app.payloads.pack, app.config.inline_max, sending.level
    queue, name, names = queue or task.queue, task.name, task.signature.names

    def packed(call: Call[Any]) -> NewJob:
        body = pack(queue, name, call.args, call.kwargs, carried, names)
        return NewJob(name, body, level, pairs if len(body) <= inline_max else (*pairs, "record", 1))

    return packed
