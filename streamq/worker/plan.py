"""A plan: everything about a task that can be known before its first job arrives, worked out once in each process.

What a handler does not want costs it nothing: no context, no conversion, no middleware and no resources means a direct
call of the handler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from traceback import walk_tb
from types import CodeType
from typing import Any

from streamq.errors import BadPayload
from streamq.fitting import Fitting
from streamq.handlers import Middleware
from streamq.journal import Suspended
from streamq.options import DEFAULT_RESULT_TTL, TaskOptions
from streamq.resources import Container
from streamq.task import Hooks, Task
from streamq.wire import Payloads, Unpacked
from streamq.worker.seat import FOREVER, Seat
from streamq.worker.statistics import Tally

__all__ = [
    "NO_OPTIONS",
    "Call",
    "Hop",
    "Place",
    "Plan",
    "bare",
    "checked",
    "direct",
    "is_misfit",
    "keeps",
    "ttl_of",
    "was_entered",
    "without_context",
]

Arguments = list[Any]
Named = dict[str, Any]
Call = Callable[[Any, Arguments, Named], Any]  # the first: a Seat, or what has its ``open_context``
Change = Callable[[Arguments, Named], tuple[Arguments, Named]]
Hop = Callable[[Seat, "Plan", Call, Arguments, Named], Awaitable[Any]]


class OwnPayload(BadPayload):
    """The arguments of the job itself have another form than its handler's annotations say."""


class Place(Enum):
    """Where a handler runs."""

    LOOP = "loop"
    THREAD = "thread"
    PROCESS = "process"


class Plan:
    """How the jobs of one task are run. ``call(seat, args, kwargs)`` is awaited, but for plain jobs of threads.

    ``open`` reads the call in a payload; it raises BadPayload, KeyMissing and PayloadTooLarge. ``pack_partial(value,
    job)`` packs a partial result for the job with that local id; it raises WrongCall. ``pack_noted`` and ``unpack_noted`` are
    those of ``Payloads`` for this task.

    ``bind(*args, **kwargs)`` gives the arguments by name, or raises TypeError.

    ``is_fast``: awaiting ``call`` is all there is to do. ``in_bulk``: threads take the jobs by themselves and tell of
    many at a time; nothing has to happen on the loop.
    """

    __slots__ = (
        "_around",
        "bind",
        "call",
        "in_bulk",
        "is_fast",
        "keeps",
        "limit",
        "name",
        "open",
        "options",
        "pack_noted",
        "pack_partial",
        "place",
        "queue",
        "tally",
        "ttl_ms",
        "unpack_noted",
    )

    def __init__(
        self, task: Task[..., Any], queue: str, payloads: Payloads, layers: Sequence[Middleware] = ()
    ) -> None:
        options = task.options
        self.name, self.queue, self.options = task.name, queue, options
        self.place = _place_of(task)
        self._around = [*layers, *([_hooked(task.hooks)] if task.hooks else [])]
        self.in_bulk = self.place is Place.THREAD and not self._around
        self.is_fast = not self.in_bulk and options.soft_timeout is None and not options.settle_each
        self.limit = FOREVER if options.timeout is None else options.timeout
        self.ttl_ms = ttl_of(options)
        self.keeps = keeps(options)
        self.tally = Tally(task.name)
        self.bind: Callable[..., dict[str, Any]] = task.signature.bind
        self.open: Callable[[bytes], Unpacked] = partial(payloads.unpack, queue, task.name)
        self.pack_partial: Callable[[object, str], bytes] = partial(payloads.pack_partial, queue, task.name)
        self.pack_noted = partial(payloads.pack_noted, queue, task.name)
        self.unpack_noted = partial(payloads.unpack_noted, queue, task.name)
        self.call: Call = _unprepared

    def prepare(
        self,
        task: Task[..., Any],
        container: Container,
        hop: Hop,
        started: Callable[[str, str], None] | None = None,
    ) -> None:
        """Make the handler and what stands around it.

        ``hop`` runs a handler that is not on the loop, and is awaited. ``started`` is told of each job that begins.
        """
        call = self.innermost(task, container)
        if started:
            call = _announced(started, call)
        if self.place is not Place.LOOP and not self.in_bulk:
            call = self._hopping(hop, call)
        for layer in reversed(self._around):
            call = _wrapped(layer, call)
        self.call = call

    def innermost(self, task: Task[..., Any], container: Container) -> Call:
        """The call of the handler itself."""
        return direct(task, container)

    def options_with(self, carried: Mapping[str, Any]) -> TaskOptions:
        """The options of a job whose payload brought some. Raises BadPayload."""
        known = {name: value for name, value in carried.items() if name not in NO_OPTIONS}
        return self.options.received(known) if known else self.options

    def _hopping(self, hop: Hop, call: Call) -> Call:
        return lambda seat, args, kwargs: hop(seat, self, call, args, kwargs)


NO_OPTIONS = frozenset({"headers", "parent", "schedule", "scheduled", "flow"})  # what payloads carry besides


def ttl_of(options: TaskOptions) -> int | None:
    """For how many milliseconds results are kept; None: not at all."""
    return None if options.result_ttl is None else max(1, round(options.result_ttl * 1000))


def keeps(options: TaskOptions, result: Any = None) -> bool:
    """Whether a result is kept: one that is None only when its task names a time of its own."""
    if options.result_ttl is None:
        return False
    return result is not None or options.result_ttl != DEFAULT_RESULT_TTL


def is_misfit(error: BaseException) -> bool:
    """Whether the handler's own frame was never entered: the arguments do not fit its parameters."""
    frames = _frames_of(error)
    return isinstance(error, TypeError) and bool(frames) and frames[-1] in _CODES


def was_entered(error: BaseException) -> bool:
    """Whether the error comes from inside the handler, or from what stands around it: not from code of this package."""
    own = isinstance(error, OwnPayload)
    return not own and any(not code.co_filename.startswith(_PACKAGE) for code in _frames_of(error))


def _frames_of(error: BaseException) -> list[CodeType]:
    return [frame.f_code for frame, _ in walk_tb(error.__traceback__)]


def _unprepared(seat: Seat, args: Arguments, kwargs: Named) -> Any:
    raise RuntimeError("a plan must be prepared before jobs run")


def _place_of(task: Task[..., Any]) -> Place:
    if task.options.isolate:
        return Place.PROCESS
    return Place.LOOP if task.is_async else Place.THREAD


def direct(task: Task[..., Any], container: Container) -> Call:
    """A call of the handler with what it wants: converted arguments, its context, its resources."""
    return checked(task, bare(task, container))


def bare(task: Task[..., Any], container: Container) -> Call:
    """A call of the handler with its context and its resources; its arguments as they are."""
    handler, resources = task.handler(), container.fill(task.resources)
    return _with_context(handler, resources) if task.wants_context else without_context(handler, resources)


def checked(task: Task[..., Any], call: Call) -> Call:
    """A call whose arguments are converted and checked before; it raises BadPayload."""
    call = _converting(_as_own(task.convert), call) if task.convert else call
    return _fitting(task.fitting, call) if task.fitting else call


def without_context(handler: Callable[..., Any], resources: Named) -> Call:
    """A call of a function with the arguments alone."""

    def call(seat: Seat, args: Arguments, kwargs: Named) -> Any:
        return handler(*args, **kwargs)

    def call_with_resources(seat: Seat, args: Arguments, kwargs: Named) -> Any:
        return handler(*args, **kwargs, **resources)

    return call_with_resources if resources else call


def _with_context(handler: Callable[..., Any], resources: Named) -> Call:
    def call(seat: Seat, args: Arguments, kwargs: Named) -> Any:
        return handler(seat.open_context(), *args, **kwargs, **resources)

    return call


def _as_own(change: Change) -> Change:
    """The same change of arguments; what does not fit is the fault of the job's own payload."""

    def changed(args: Arguments, kwargs: Named) -> tuple[Arguments, Named]:
        try:
            return change(args, kwargs)
        except BadPayload as error:
            raise OwnPayload(*error.args) from error.__cause__

    return changed


def _converting(convert: Change, inner: Call) -> Call:
    def call(seat: Seat, args: Arguments, kwargs: Named) -> Any:
        args, kwargs = convert(args, kwargs)
        return inner(seat, args, kwargs)

    return call


def _fitting(fitting: Fitting, inner: Call) -> Call:
    fits, mend = fitting.fits, _as_own(fitting.mend)

    def call(seat: Seat, args: Arguments, kwargs: Named) -> Any:
        if not fits(*args, **kwargs):
            args, kwargs = mend(args, kwargs)
        return inner(seat, args, kwargs)

    return call


def _announced(started: Callable[[str, str], None], inner: Call) -> Call:
    def call(seat: Seat, args: Arguments, kwargs: Named) -> Any:
        for one in seat.seats:
            started(one.id, one.known_plan.name)
        return inner(seat, args, kwargs)

    return call


def _wrapped(layer: Middleware, inner: Call) -> Call:
    async def call(seat: Seat, args: Arguments, kwargs: Named) -> Any:
        return await layer(seat.open_context(), lambda: inner(seat, args, kwargs))

    return call


def _hooked(hooks: Hooks) -> Middleware:
    """The methods of a class task around its ``handle``, as a layer."""

    async def layer(ctx: Any, call_next: Callable[[], Awaitable[Any]]) -> Any:
        if hooks.started:
            await _told(hooks.started(ctx))
        try:
            result = await call_next()
        except Suspended:
            raise
        except BaseException as error:
            if hooks.failed:
                await _told(hooks.failed(ctx, error))
            raise
        if hooks.completed:
            await _told(hooks.completed(ctx, result))
        return result

    return layer


async def _told(answer: Any) -> None:
    """A hook may be plain or async."""
    if isinstance(answer, Awaitable):
        await answer


_PACKAGE = __file__.rpartition("worker")[0]
_CODES = frozenset(
    code
    for factory in (without_context, _with_context, _fitting)
    for code in factory.__code__.co_consts
    if hasattr(code, "co_code")
)
