"""A worker: runs the jobs of some queues of an app, in this process and on the running event loop, until it is stopped.

Under a supervisor it is the content of a child process, and its leases are kept from outside. Without one
(``await Worker(app).run()`` in a program or a test) a thread keeps them; then a handler that holds the interpreter for
longer than the lease loses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamq.batch import BatchTask
from streamq.engines.base import AsyncEngine
from streamq.engines.factory import open_async_engine, open_engine
from streamq.errors import ConfigError
from streamq.events import Event
from streamq.logger import Logger
from streamq.protocol.keys import anchor_of
from streamq.wire.limits import check_queue
from streamq.worker.batch_plan import plan_of
from streamq.worker.fetch import Fetch, Post
from streamq.worker.groups import MEMBERS
from streamq.worker.isolate import Isolation
from streamq.worker.keeper import Keeper, KeeperThread
from streamq.worker.notices import Notices
from streamq.worker.page import Condition, Page
from streamq.worker.plan import Plan
from streamq.worker.threads import GRACE
from streamq.worker.ticker import Ticker
from streamq.worker.verdict import Stop

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.resources import Container
    from streamq.task import Task

__all__ = ["Limits", "Reason", "Worker", "page_for", "slots_of"]

LEAST_MEMORY = 32_000_000  # bytes; a process has 31 MB before its first job (2026-11-24)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a worker stops by itself. ``burst``: when there is nothing to do; after ``max_jobs``; above ``memory`` bytes.

    ``timeout``: seconds that running handlers have when it stops, before they are ended and handed back.
    """

    burst: bool = False
    max_jobs: int | None = None
    memory: int | None = None
    timeout: float = 30.0

    def __post_init__(self) -> None:
        if self.memory is not None and self.memory < LEAST_MEMORY:
            raise ConfigError(
                f"memory is {self.memory:,} bytes, which every process has before its first job: "
                f"give at least {LEAST_MEMORY // 10**6} MB, or leave it out"
            )


class Reason:
    """Why a worker ended."""

    STOPPED = "stopped"
    EMPTY = "empty"
    WORN = "worn"  # it has done its share, or grew too large, or a handler hangs in it: another one should follow


def slots_of(app: App, queues: Mapping[str, int] | None, concurrency: int) -> dict[str, int]:
    """How many jobs at a time each queue may have in one process; 0 in ``queues`` stands for ``concurrency``.

    Without ``queues``, all that tasks of the app name. Raises ConfigError when there are none, or for an unusable name.
    """
    named = dict(queues or {task.options.queue: 0 for task in app.tasks.values()})
    if not named:
        raise ConfigError(
            "there is nothing to work on: the app has no tasks. Import the modules that declare them."
        )
    return {check_queue(queue): slots or concurrency for queue, slots in named.items()}


def page_for(app: App, slots: Mapping[str, int]) -> Page:
    """A page with cells for the runners and the threads of each queue, and for the members of batches if there are any."""
    members = MEMBERS if any(isinstance(task, BatchTask) for task in app.tasks.values()) else 0
    return Page([2 * count + 64 + members for count in slots.values()])


class Worker:
    """``queues`` maps names to slots (0: ``concurrency``). ``page`` is given by a supervisor, ``alone`` too."""

    def __init__(
        self,
        app: App,
        *,
        queues: Mapping[str, int] | None = None,
        concurrency: int | None = None,
        limits: Limits | None = None,
        page: Page | None = None,
        alone: bool = False,
    ) -> None:
        self._app, self._config = app, app.config
        self._slots = slots_of(app, queues, concurrency or app.config.concurrency)
        self._limits, self._alone = limits or Limits(), alone
        self._is_supervised, self._parent = page is not None, os.getppid()
        self._page = page or page_for(app, self._slots)
        self._fetches: list[Fetch] = []
        self._stopping = asyncio.Event()
        self._now = asyncio.Event()
        self._log = Logger("streamq.worker")
        self._is_paused = False
        self._isolation = Isolation(app)
        self._telling: asyncio.Task[None] | None = None
        self.reason = Reason.STOPPED

    def stop(self, *, now: bool = False) -> None:
        """Take no more jobs, finish what runs, and end; ``now``: end what runs too, and hand it back."""
        self._stopping.set()
        if now:
            self._now.set()

    def pause(self, paused: bool = True) -> None:
        """Take no jobs for a while, or go on."""
        self._is_paused = paused
        for fetch in self._fetches:
            fetch.pause(paused)

    async def run(self) -> str:
        """Work until stopped, or until a limit is reached; returns which."""
        self._isolation.open()
        try:
            async with (
                self._app.container(self._app.tasks.values()) as container,
                contextlib.AsyncExitStack() as stack,
            ):
                self._keep_leases(stack)
                engine = open_async_engine(self._config)
                stack.push_async_callback(engine.close)
                self._make_fetches(container, engine)
                await self._work()
        finally:
            self._isolation.close()
        return self.reason

    def _keep_leases(self, stack: contextlib.AsyncExitStack) -> None:
        if self._is_supervised:
            return
        engine = open_engine(self._config)
        stack.callback(engine.close)
        anchors, lease = self._anchors(), self._config.lease
        keeper = KeeperThread(Keeper(engine, lease, anchors), lease, (anchors, self._page))
        keeper.start()
        stack.callback(keeper.stop)

    def _anchors(self) -> list[str]:
        return [anchor_of(self._config.namespace, queue) for queue in self._slots]

    def _make_fetches(self, container: Container, engine: AsyncEngine) -> None:
        about = f"{socket.gethostname()} pid {os.getpid()}{', a suspect alone' if self._alone else ''}"
        observers, debugs = self._app.observers, self._config.log_level == "debug"
        for section, anchor, (queue, slots) in zip(
            self._page.sections, self._anchors(), self._slots.items(), strict=True
        ):
            notices = Notices(queue, observers, debugs=debugs)
            plans = {name.encode(): self._plan(task, queue) for name, task in self._app.tasks.items()}
            rules = self._app.declarations.of(queue)
            post = Post(
                anchor, queue, queue, slots, section, about, self._alone, not self._is_supervised, rules
            )
            release = None if self._alone else self._app.release(queue)
            fetch = Fetch(
                post, self._config, engine, plans, self._app.payloads, notices, self._isolation, release
            )
            started = notices.started if observers.wants("job.started") else None
            for plan, task in zip(plans.values(), self._app.tasks.values(), strict=True):
                plan.prepare(task, container, fetch.bench.hop, started)
            fetch.pause(self._is_paused)
            self._fetches.append(fetch)

    def _plan(self, task: Task[..., Any], queue: str) -> Plan:
        return plan_of(task, queue, self._app.payloads, self._app.middleware_layers)

    async def _work(self) -> None:
        """Fetch, while the ticker ticks: without it no deadline would hold, so its end is the end of all."""
        self._tell("worker.started")
        ticker = asyncio.create_task(self._ticker().run())
        fetching = asyncio.create_task(self._fetch())
        try:
            await asyncio.wait({ticker, fetching}, return_when=asyncio.FIRST_COMPLETED)
            if not fetching.done():
                error = None if ticker.cancelled() else ticker.exception()
                raise RuntimeError("the task that ends late handlers has itself been ended") from error
            fetching.result()
        finally:
            ticker.cancel()
            fetching.cancel()
            await asyncio.wait({ticker, fetching})
            self._tell("worker.stopped")

    async def _fetch(self) -> None:
        loops = [asyncio.create_task(fetch.run()) for fetch in self._fetches]
        self._page.condition = Condition.READY
        try:
            running: asyncio.Future[Any] = asyncio.gather(*loops)
            stopping: asyncio.Future[Any] = asyncio.create_task(self._stopping.wait())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            self._check_limits(0)  # a fetch loop may have stopped by itself
            await self._drain(running)
        finally:
            for loop in loops:
                loop.cancel()

    async def _drain(self, running: asyncio.Future[Any]) -> None:
        """Finish what runs, for as long as it may; then end it; then leave."""
        is_worn = self.reason == Reason.WORN
        self._page.condition = Condition.WORN if is_worn else Condition.DRAINING
        for fetch in self._fetches:
            fetch.stop()
        now: asyncio.Future[Any] = asyncio.create_task(self._now.wait())
        await asyncio.wait({running, now}, timeout=self._limits.timeout, return_when=asyncio.FIRST_COMPLETED)
        now.cancel()
        for fetch in self._fetches:
            fetch.end(Stop.SHUTDOWN)
        done, _ = await asyncio.wait([running], timeout=GRACE + 1)
        if not done:
            self._log.warning("worker.left_unsettled", hint="a handler hangs or the server is away")
            running.cancel()
            await asyncio.wait([running])
            _ = running.cancelled() or running.exception()  # known, and said already
        elif not running.cancelled():
            running.result()
        if done and self.reason == Reason.EMPTY:
            self._page.condition = Condition.EMPTY

    # Some times a second. Nothing here waits for the server: deadlines hold while that hangs.

    def _ticker(self) -> Ticker:
        of_fetches = [look for fetch in self._fetches for look in fetch.looks]
        return Ticker(
            [*of_fetches, self._beat, self._check_limits, self._check_supervisor],
            [self._check_memory, self._tell_statistics],
        )

    def _beat(self, now: float) -> None:
        settled = sum(fetch.settled for fetch in self._fetches)
        self._page.beat(now, settled, max(fetch.answered for fetch in self._fetches))

    def _check_supervisor(self, now: float) -> None:
        """Where the system does not kill it with its supervisor (see mortality)."""
        if self._is_supervised and os.getppid() != self._parent:
            self.stop(now=True)

    def _tell_statistics(self, now: float) -> None:
        last = self._telling
        if last is not None and not last.done():
            return
        self._telling = asyncio.create_task(self._told_statistics())
        if last is not None and not last.cancelled():
            last.result()

    async def _told_statistics(self) -> None:
        for fetch in self._fetches:
            await fetch.tell_statistics()

    def _check_memory(self, now: float) -> None:
        limit = self._limits.memory
        if limit is not None and not self._stopping.is_set() and _resident() > limit:
            self._wear("it has grown too large")

    def _check_limits(self, now: float) -> None:
        limits = self._limits
        if self._stopping.is_set():
            return
        hung = next((fetch.bench.hung for fetch in self._fetches if fetch.bench.hung), None)
        if hung is not None:
            task = hung.plan.name if hung.plan else None
            self._wear("a handler could not be ended", job=hung.job, task=task)
        elif self._isolation.is_lost:
            self._wear("the process died that forks those of isolated jobs")
        elif limits.max_jobs is not None and sum(fetch.settled for fetch in self._fetches) >= limits.max_jobs:
            self._wear(f"{limits.max_jobs} jobs are done")
        elif limits.burst and all(fetch.is_without_work for fetch in self._fetches):
            self.reason = Reason.EMPTY
            self.stop()

    def _wear(self, why: str, **fields: Any) -> None:
        self._log.info("worker.worn", why=why, **fields)
        self.reason = Reason.WORN
        self.stop()

    def _tell(self, name: str) -> None:
        fields = {"pid": os.getpid(), "queues": dict(self._slots)}
        self._log.info(name, **fields)
        self._app.observers.tell(Event(name, fields=fields))  # type: ignore[arg-type]


def _resident() -> int:
    """Bytes of memory that this process has."""
    import psutil  # type: ignore[import-untyped]

    size: int = psutil.Process().memory_info().rss
    return size
