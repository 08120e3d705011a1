"""The App: where tasks, resources, middleware and observers are declared, and what carries their jobs to the server.

Declaring does nothing else: settings are read, and connections made, when the first job is put in.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, Self, TypeVar, Unpack, cast, overload

from streamq.batch import Batch, BatchDecorator, By, batch_task
from streamq.bulk import Bulk
from streamq.client import Client
from streamq.config import Config
from streamq.durations import Duration
from streamq.errors import ConfigError
from streamq.events import EventName, Observer, Observers
from streamq.flow_control import FlowControl
from streamq.forks import generation
from streamq.handlers import (
    AsyncClass,
    AsyncContextClass,
    AsyncContextFunction,
    AsyncFunction,
    Middleware,
    SyncClass,
    SyncContextClass,
    SyncContextFunction,
    check_middleware,
    check_outgoing_hook,
)
from streamq.job import Job
from streamq.limited import Announced
from streamq.options import TaskOptions, TaskWords
from streamq.protocol import Call as Operation
from streamq.protocol import Flow
from streamq.protocol.keys import JobId
from streamq.queue import Queue, follow, follow_async
from streamq.replies import Replies
from streamq.resources import Container, Resource, lifespan_of, resource_of
from streamq.scheduling import Scheduling
from streamq.sender import Sender
from streamq.sending import OutgoingHook, Way
from streamq.strikes import Strikes
from streamq.task import (
    AsyncContextTask,
    AsyncTask,
    Call,
    SyncContextTask,
    SyncTask,
    Task,
    class_task,
    function_task,
)
from streamq.wire import Payloads, payloads_of

if TYPE_CHECKING:
    from streamq.flows.run import Run

__all__ = ["App", "TaskDecorator"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
MiddlewareT = TypeVar("MiddlewareT", bound=Middleware)
HookT = TypeVar("HookT", bound=OutgoingHook)
ObserverT = TypeVar("ObserverT", bound=Observer)
LifespanT = TypeVar("LifespanT", bound=Callable[[], AsyncIterator[None]] | Callable[[], Iterator[None]])


# Overloads that overlap: the first that fits wins, for both checkers, and that is what is meant.


class TaskDecorator(Protocol):
    """What ``@app.task(…)`` gives: it makes a task of a function."""

    @overload
    def __call__(self, fn: AsyncContextFunction[P, R], /) -> AsyncContextTask[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: AsyncFunction[P, R], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: SyncContextFunction[P, R], /) -> SyncContextTask[P, R]: ...  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: Callable[P, R], /) -> SyncTask[P, R]: ...


class App(FlowControl, Scheduling):
    """A namespace of tasks on one server.

    ``url`` and ``namespace`` win over the settings of the environment, ``.env`` and pyproject.toml; ``config`` stands
    for all of them. Without any URL, the embedded server of the project is used. ``name`` says whose code it is: that of the
    module which makes it, unless it is given. An App may be used from any thread, from any number of event loops, and
    after a fork.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        namespace: str | None = None,
        name: str | None = None,
        config: Config | None = None,
        **settings: Any,
    ) -> None:
        FlowControl.__init__(self)
        Scheduling.__init__(self, name, sys._getframe(1).f_globals)  # noqa: SLF001 - the module that makes the App
        self._given: dict[str, Any] = {"url": url, "namespace": namespace, **settings}
        if config:
            self.config = config
        self.tasks: dict[str, Task[..., Any]] = {}
        self.middleware_layers: list[Middleware] = []
        self.observers = Observers()
        self.outgoing_hooks: list[OutgoingHook] = []
        self._lifespans: list[Resource[None]] = []
        self._clients: dict[int, Client] = {}

    # What is declared

    @overload
    def task(self, fn: AsyncContextFunction[P, R], /) -> AsyncContextTask[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def task(self, fn: AsyncFunction[P, R], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def task(self, fn: SyncContextFunction[P, R], /) -> SyncContextTask[P, R]: ...  # pyright: ignore[reportOverlappingOverload]
    @overload
    def task(self, fn: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def task(self, **options: Unpack[TaskWords]) -> TaskDecorator: ...
    def task(self, *fn: Any, **options: Any) -> Any:
        """Make a task of a function: ``@app.task``, or ``@app.task(queue="mail", attempts=5)``.

        Its name is the function's, or ``name=``; two of one name are refused, and so are options that cannot be used.
        """
        checked = TaskOptions.of(**options)
        if fn:
            return self._declare(function_task(self, fn[0], checked))
        return lambda fn: self._declare(function_task(self, fn, checked))

    def batch(
        self,
        *,
        size: int = 100,
        wait: Duration = 0.2,
        by: By | None = None,
        **options: Unpack[TaskWords],
    ) -> BatchDecorator:
        """Make a task of a function that takes a *list* of items; ``enqueue(item)`` puts in one, as a job of its own.

        A worker calls it with up to ``size`` items, at most ``wait`` after the first of them came; ``by`` (a field of
        the item, or a function of it) keeps those apart that differ in it. The handler returns a list as long: each
        element is the result of its item, or an exception (``Retry``, ``Snooze``, ``Dead``, any other) with which that
        one ends; or None, when all have completed. What it raises is raised for all.
        """
        batch, checked = Batch.of(size, wait, by), TaskOptions.of(**options)

        def decorate(fn: Any) -> Any:
            return self._declare(batch_task(self, fn, checked, batch))

        return cast("BatchDecorator", decorate)

    @overload
    def add(
        self, make: Callable[[], AsyncContextClass[P, R]], /, **options: Unpack[TaskWords]
    ) -> Task[P, R]: ...
    @overload
    def add(self, make: Callable[[], AsyncClass[P, R]], /, **options: Unpack[TaskWords]) -> Task[P, R]: ...
    @overload
    def add(
        self, make: Callable[[], SyncContextClass[P, R]], /, **options: Unpack[TaskWords]
    ) -> Task[P, R]: ...
    @overload
    def add(self, make: Callable[[], SyncClass[P, R]], /, **options: Unpack[TaskWords]) -> Task[P, R]: ...
    def add(self, make: Any, /, **options: Any) -> Any:
        """Make a task of a class with a ``handle`` method; one instance is made in each worker process.

        Its methods ``started(ctx)``, ``completed(ctx, result)`` and ``failed(ctx, error)``, where it has them, are
        called around ``handle``.
        """
        return self._declare(class_task(self, make, TaskOptions.of(**options)))

    @overload
    def resource(self, provider: Callable[..., AsyncIterator[T]], /) -> Resource[T]: ...
    @overload
    def resource(self, provider: Callable[..., Iterator[T]], /) -> Resource[T]: ...
    def resource(self, provider: Any, /) -> Any:
        """Declare what each worker process opens once for its handlers: a generator function that yields it."""
        return resource_of(provider)

    def lifespan(self, fn: LifespanT, /) -> LifespanT:
        """Declare what runs at the start of a worker process (up to the ``yield``) and at its end (behind it)."""
        self._lifespans.append(lifespan_of(fn))
        return fn

    def middleware(self, layer: MiddlewareT, /) -> MiddlewareT:
        """Declare what runs around every handler: ``async (ctx, call_next)``; the first declared is the outermost.

        Raises ConfigError for a function that is not async or takes something else.
        """
        check_middleware(layer)
        self.middleware_layers.append(layer)
        return layer

    def before_enqueue(self, hook: HookT, /) -> HookT:
        """Declare what sees every job before it is sent (``Outgoing``), and may add headers, or raise to stop it.

        Raises ConfigError for a function that is async or takes something else.
        """
        check_outgoing_hook(hook)
        self.outgoing_hooks.append(hook)
        return hook

    def on(self, *names: EventName) -> Callable[[ObserverT], ObserverT]:
        """Declare an observer of events. It is never in the way: what it raises is logged."""
        if names and callable(names[0]):
            raise ConfigError(f"{names[0]!r}: name the events that it observes, as in @app.on('job.dead')")

        def observe(observer: ObserverT) -> ObserverT:
            self.observers.add(names, observer)
            return observer

        return observe

    # What is sent

    def enqueue_many(self, calls: Iterable[Call[R]]) -> list[Job[R]]:
        """Put many jobs in, of any tasks, in one call for each 1,000 of a queue; their handles, in order.

        All are packed before the first is sent. Up to 1,000 of one queue are added together or not at all, and the next
        ones are sent meanwhile; when a part fails, nothing more is sent, and a note on the error says how many are in.
        """
        with Bulk(list(calls)) as bulk:
            return bulk.send()

    async def aenqueue_many(self, calls: Iterable[Call[R]]) -> list[Job[R]]:
        """Put many jobs in, of any tasks, in one call for each 1,000 of a queue; their handles, in order.

        All are packed before the first is sent. Up to 1,000 of one queue are added together or not at all, and the next
        ones are sent meanwhile; when a part fails, nothing more is sent, and a note on the error says how many are in.
        """
        with Bulk(list(calls)) as bulk:
            return await bulk.asend()

    def job(self, job_id: str) -> Job[Any]:
        """The job with this id; nothing is asked of the server."""
        return Job(self, job_id)

    def flow(self, flow_id: str) -> Run[None]:
        """The flow with this id; nothing is asked of the server."""
        from streamq.flows.run import Run

        return Run(self, flow_id)

    def queue(self, name: str = "default") -> Queue:
        """The operations on one queue as data, for an engine to carry."""
        return Queue(name, namespace=self.config.namespace)

    def run(self, operation: Operation[R]) -> R:
        """Carry one operation to the server."""
        return self._client.engine.run(operation)

    async def arun(self, operation: Operation[R]) -> R:
        """Carry one operation to the server."""
        return await self._client.async_engine.run(operation)

    def follow(self, flow: Flow[R]) -> R:
        """Carry an operation of several calls to the server."""
        return follow(self._client.engine, flow)

    async def afollow(self, flow: Flow[R]) -> R:
        """Carry an operation of several calls to the server."""
        return await follow_async(self._client.async_engine, flow)

    def sender(self, way: Way) -> Sender:
        """What puts jobs into a queue on behalf of this process."""
        return self._client.sender(way)

    @property
    def announced(self) -> Announced:
        """What tells the server of the limits that the code declares."""
        return self._client.announced

    def limits_changed(self, queue: str) -> None:
        """What puts jobs into this queue looks at its limits anew."""
        for client in list(self._clients.values()):
            client.forget_senders(queue)

    def replies(self, where: JobId) -> Replies:
        """What waits for the ends of jobs on behalf of this process."""
        return self._client.replies(where.anchor(self.config.namespace))

    # What a worker reads

    @cached_property
    def config(self) -> Config:
        """All settings; read once, when they are first needed. Raises ConfigError."""
        return Config.load(**self._given)

    @cached_property
    def strikes(self) -> Strikes:
        """What stops tasks, or jobs with certain arguments, without a deploy."""
        return Strikes(self)

    @cached_property
    def payloads(self) -> Payloads:
        """How arguments and results become bytes."""
        return payloads_of(self.config)

    def container(self, tasks: Iterable[Task[..., Any]]) -> Container:
        """The lifespans of the App and the resources that these tasks need, for one worker process to open."""
        return Container(
            [*self._lifespans, *(needed for task in tasks for needed in task.resources.values())]
        )

    # Its life

    def close(self) -> None:
        """Close the connections of this process; those that event loops opened are closed by ``aclose``."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop, and those of threads."""
        await self._client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def _client(self) -> Client:
        """This process's connections; a fork has its own, so that no two processes share a socket or a producer's name."""
        process = generation()
        return self._clients.get(process) or self._clients.setdefault(
            process, Client(self.config, self.declarations)
        )

    def _declare(self, task: Task[..., Any]) -> Task[..., Any]:
        known = self.tasks.setdefault(task.name, task)
        if known is not task:
            raise ConfigError(
                f"two tasks are named '{task.name}': {known.place} and {task.place}; give one of them a name="
            )
        return task
