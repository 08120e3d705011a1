"""Tasks: what ``@app.task`` makes of functions and ``app.add`` of classes, and calls of them that can be put in.

Calling a task is calling the function. ``enqueue`` sends its arguments to a worker instead; they are checked first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, update_wrapper
from inspect import isasyncgenfunction, isclass, iscoroutinefunction, isgeneratorfunction, unwrap
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, Unpack, cast

from streamq.context import Context
from streamq.errors import ConfigError
from streamq.fitting import Fitting, fitting_of
from streamq.job import Job
from streamq.limits.route import Route
from streamq.options import CallOptions, CallWords, TaskOptions
from streamq.packing import packing, packing_with
from streamq.protocol.enqueue import NewJob
from streamq.resources import Resource
from streamq.sender import Sender
from streamq.sending import Sending
from streamq.signature import CONTEXT, Signature, declared_signature
from streamq.wire.convert import Converter, converter, hints_of, result_type
from streamq.wire.limits import check_task

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.flows.chains import Chain

__all__ = [
    "AsyncContextTask",
    "AsyncTask",
    "Call",
    "ClassTask",
    "Hooks",
    "SyncContextTask",
    "SyncTask",
    "Task",
    "check_function",
    "class_task",
    "function_task",
    "named",
]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
_CALL_WORDS = tuple(CallWords.__annotations__)


@dataclass(frozen=True, slots=True)
class Hooks:
    """The methods of a class task that are called around ``handle``, those that it has."""

    started: Callable[[Context], Any] | None
    completed: Callable[[Context, Any], Any] | None
    failed: Callable[[Context, BaseException], Any] | None


class Call(Generic[R_co]):
    """A task with its arguments, checked and not yet sent."""

    __slots__ = ("args", "kwargs", "task")

    def __init__(self, task: Task[..., R_co], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.task, self.args, self.kwargs = task, args, kwargs

    def __repr__(self) -> str:
        return f"<call of {self.task.name} with {len(self.args) + len(self.kwargs)} arguments>"

    def enqueue(self) -> Job[R_co]:
        """Put the job in. Returns when the server has it."""
        task = self.task
        return Job(task.app, f"{task.queue}-{task.sender.enqueue(self.new_job())}", task)

    async def aenqueue(self) -> Job[R_co]:
        """Put the job in. Returns when the server has it."""
        task = self.task
        return Job(task.app, f"{task.queue}-{await task.sender.aenqueue(self.new_job())}", task)

    def then(self: Call[T], task: Task[Concatenate[T, P], R], *args: P.args, **kwargs: P.kwargs) -> Chain[R]:
        """A chain: next comes ``task``, with what this returns as its first argument.

        Raises WrongCall when the arguments do not fit.
        """
        return _chain_of(self).then(task, *args, **kwargs)

    def followed_by(self, call: Call[R]) -> Chain[R]:
        """A chain: next comes ``call``, when this has completed."""
        return _chain_of(self).followed_by(call)

    def new_job(self, queue: str = "") -> NewJob:
        """The job as the server is sent it, for the task's queue or another one.

        Raises PayloadTooLarge, and WrongCall for what cannot be packed.
        """
        return packing(self.task, queue)(self)


def _chain_of(call: Call[R]) -> Chain[R]:
    from streamq.flows.chains import chain_of

    return chain_of(call)


class Task(Generic[P, R]):
    """A function that workers run. Its name, docstring and signature are kept.

    ``fn`` is the function itself (of a class task: its ``handle``), ``options`` what was declared with it.
    """

    def __init__(self, app: App, fn: Callable[..., Any], options: TaskOptions, signature: Signature) -> None:
        update_wrapper(cast("Callable[..., Any]", self), fn)
        self.app, self.fn, self.options, self.signature = app, fn, options, signature
        self.name = options.name
        self.is_async = iscoroutinefunction(fn)
        self._routes = {False: self._route(whole=False)}
        self.sending = self._sending(CallOptions())
        self._check = self.signature.check

    def __repr__(self) -> str:
        return f"<task {self.name} of {self.place}>"

    def call(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """The call as a value, for ``enqueue_many``. Raises WrongCall when the arguments do not fit."""
        try:
            self._check(*args, **kwargs)
        except TypeError as error:
            raise self.signature.wrong_call(self.name, error, kwargs, _CALL_WORDS) from None
        return Call(self, args, kwargs)

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Put a job in. Returns when the server has it.

        Raises WrongCall when the arguments do not fit, and PayloadTooLarge: then nothing was sent. ConnectionLost
        means that the outcome is unknown, any other ServerUnavailable that nothing was added.
        """
        return self.call(*args, **kwargs).enqueue()

    def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, Job[R]]:
        """Put a job in. Returns when the server has it. Raises what ``enqueue`` does; WrongCall before it is awaited."""
        return self.call(*args, **kwargs).aenqueue()

    def using(self, **options: Unpack[CallWords]) -> Task[P, R]:
        """The same task with these options for the calls made from it. Raises ConfigError for what cannot be used."""
        call_options = self.sending.call_options.then(CallOptions.of(**options))
        changed = copy.copy(self)
        changed.sending = self._sending(call_options)
        vars(changed).pop("pack_plain", None)
        return changed

    def reroute(self) -> None:
        """The limits of its queue have changed: from now on its jobs go as these say."""
        self.sending = self._sending(self.sending.call_options)

    def _sending(self, options: CallOptions) -> Sending:
        return Sending.of(self.name, self.options, options, self.signature.names, self._route_to)

    def _route_to(self, queue: str) -> Route | None:
        whole = self.app.declarations.limits_whole(queue)
        if whole not in self._routes:
            self._routes[whole] = self._route(whole=whole)
        route = self._routes[whole]
        if route is not None:
            self.app.use_limits(queue, route.rules)
        return route

    def _route(self, *, whole: bool) -> Route | None:
        options, parameters = self.options, self.signature.parameters
        return Route.of(
            self.name,
            parameters,
            options.lane,
            options.limits,
            options.breaker,
            whole=whole,
            by_deadline=options.by_deadline,
        )

    def job(self, job_id: str) -> Job[R]:
        """The job of this task with this id; nothing is asked of the server."""
        return Job(self.app, job_id, self)

    @property
    def place(self) -> str:
        """Where it was declared, for people."""
        code = getattr(unwrap(self.fn), "__code__", None)
        where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        return f"{self.fn.__module__}.{self.fn.__qualname__}{where}"

    @property
    def queue(self) -> str:
        """Where its jobs are put in."""
        return self.sending.queue

    @property
    def sender(self) -> Sender:
        """What puts its jobs in."""
        return self.app.sender(self.sending.way)

    @property
    def keeps_results(self) -> bool:
        """Whether a result that is not None is kept for a time."""
        return self.options.merged(self.sending.call_options).result_ttl is not None

    @property
    def typed(self) -> Callable[..., Any]:
        """The function whose annotations say what its callers give and get."""
        return self.fn

    @property
    def wants_context(self) -> bool:
        """Whether the handler's first argument is its Context."""
        return self.signature.wants_context

    @property
    def resources(self) -> Mapping[str, Resource[Any]]:
        """What the worker passes by name, by parameter."""
        return self.signature.resources

    @cached_property
    def convert(self) -> Converter | None:
        """Gives arguments back as the annotations say; None when they are so already. Read when first needed."""
        return converter(self.typed, frozenset({"self", CONTEXT, *self.resources}))

    @cached_property
    def fitting(self) -> Fitting | None:
        """Checks numbers and texts; None when no annotation names one. Read when first needed."""
        return fitting_of(self.name, self.typed, self.signature.parameters)

    @cached_property
    def returns(self) -> Any:
        """The type of the handler's result, or Any."""
        return result_type(self.typed)

    @cached_property
    def returns_as(self) -> Any:
        """The annotation of the handler's result, or Any."""
        return hints_of(self.fn).get("return", Any)

    @cached_property
    def pack_plain(self) -> Callable[[Call[Any]], NewJob]:
        """Packs a call of which nothing but its arguments is its own."""
        return packing_with(self, "", self.sending.carried, self.sending.pairs)

    @property
    def hooks(self) -> Hooks | None:
        """What a class task has around ``handle``."""
        return None

    def handler(self) -> Callable[..., Any]:
        """What a worker calls."""
        return self.fn


class AsyncTask(Task[P, R]):
    """A task of an async function; calling it gives a coroutine."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return cast("Coroutine[Any, Any, R]", self.fn(*args, **kwargs))


class SyncTask(Task[P, R]):
    """A task of a plain function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", self.fn(*args, **kwargs))


class AsyncContextTask(Task[P, R]):
    """A task of an async function whose first parameter is ``ctx``."""

    def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return cast("Coroutine[Any, Any, R]", self.fn(ctx, *args, **kwargs))


class SyncContextTask(Task[P, R]):
    """A task of a plain function whose first parameter is ``ctx``."""

    def __call__(self, ctx: Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", self.fn(ctx, *args, **kwargs))


class ClassTask(Task[P, R]):
    """A task of a class with ``handle``; one instance is made in each process that runs it."""

    def __init__(self, app: App, made: type[Any], options: TaskOptions, signature: Signature) -> None:
        super().__init__(app, made.handle, options, signature)
        self._class = made

    @cached_property
    def _instance(self) -> Any:
        return self._class()

    @property
    def hooks(self) -> Hooks | None:
        """The methods around ``handle`` that the class has."""
        found = {name: getattr(self._instance, name, None) for name in ("started", "completed", "failed")}
        return Hooks(**found) if any(found.values()) else None

    def handler(self) -> Callable[..., Any]:
        """The instance's ``handle``."""
        return cast("Callable[..., Any]", self._instance.handle)


def function_task(app: App, fn: Any, options: TaskOptions) -> Task[..., Any]:
    """A task of a function. Raises ConfigError for what cannot be one."""
    check_function(fn)
    options = named(options, fn, fn)
    signature = declared_signature(fn, options.name)
    if iscoroutinefunction(fn):
        kind: type[Task[..., Any]] = AsyncContextTask if signature.wants_context else AsyncTask
    else:
        kind = SyncContextTask if signature.wants_context else SyncTask
    return kind(app, fn, options, signature)


def check_function(fn: Any) -> None:
    """Raise ConfigError for what is no function."""
    if not callable(fn):
        raise ConfigError(f"{fn!r} cannot be a task: decorate a function")
    if isclass(fn):
        raise ConfigError(f"{fn!r} is a class: give it to app.add(…), which calls its handle()")


def class_task(app: App, made: Any, options: TaskOptions) -> Task[..., Any]:
    """A task of a class. Raises ConfigError for what cannot be one."""
    handle = getattr(made, "handle", None)
    if not isclass(made) or not callable(handle):
        raise ConfigError(f"app.add({made!r}): give a class that has a method handle()")
    options = named(options, made, handle)
    return ClassTask(app, made, options, declared_signature(handle, options.name, method=True))


def named(options: TaskOptions, declared: Any, runs: Callable[..., Any]) -> TaskOptions:
    """The options with the task's name in them: ``name=``, or that of the function or class.

    Raises ConfigError for a generator, which cannot be a handler.
    """
    if isasyncgenfunction(runs) or isgeneratorfunction(runs):
        raise ConfigError(
            f"{runs!r} cannot be a task: use a function that returns its result and does not yield"
        )
    return options if options.name else replace(options, name=check_task(declared.__name__))
