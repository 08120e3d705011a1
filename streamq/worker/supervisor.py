"""The supervisor: one process that forks worker processes, keeps their leases from outside, and replaces those that die.

It imports the app, but runs none of its handlers and has no threads, so that nothing a handler does can stop it. Signals:
TERM or INT, finish and leave; again, leave now; USR1 and USR2, pause and go on; HUP, replace the children one by one.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING

from streamq.engines.address import scheme
from streamq.engines.factory import open_engine
from streamq.errors import ConfigError, StreamqError
from streamq.logger import Logger
from streamq.protocol.keys import anchor_of
from streamq.worker.burial import Burials
from streamq.worker.child import Child, Death
from streamq.worker.children import Children
from streamq.worker.health import Health
from streamq.worker.keeper import Keeper
from streamq.worker.log import set_up_log
from streamq.worker.obituary import Obituaries
from streamq.worker.page import Condition, Page
from streamq.worker.process import Exit
from streamq.worker.repeats import Repeats
from streamq.worker.worker import Limits, Worker, page_for, slots_of

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["Supervisor", "run"]

TURN = 0.05  # seconds between two looks at the children
PATIENCE = 2.0  # seconds to wait for an answer of the server: meanwhile nobody looks after the children
ALONE = 2  # suspects that run at a time, each in a child of its own
PAUSES = (
    0.02,
    0.2,
    1.0,
    3.0,
    10.0,
    30.0,
)  # seconds before another child follows one that died, by failures to start
HOPELESS = 3  # failures to start, one after the other, after which the supervisor ends with exit code 1
EXTRA = 10.0  # seconds beyond all timeouts after which children that do not leave are killed

clock = time.monotonic


def run(
    app: App,
    *,
    queues: Mapping[str, int] | None = None,
    workers: int | None = None,
    concurrency: int | None = None,
    burst: bool = False,
    max_jobs: int | None = None,
    memory: int | None = None,
    timeout: float = 30.0,
) -> int:
    """Work on the jobs of an app until a signal says to stop; returns the exit code.

    ``queues`` maps names to slots (0: ``concurrency``), ``workers`` is the number of processes. ``burst``: stop when
    there is nothing to do. A process is replaced after ``max_jobs`` jobs, or when it has more than ``memory`` bytes.
    ``timeout``: seconds that running handlers have when the worker stops. Must be called in the main thread. Raises
    ConfigError when the settings cannot be used; the code is 2 when a process finds that out, 1 when none can start.
    """
    _check(app)
    set_up_log(app.config)
    limits = Limits(burst, max_jobs, memory, timeout)
    count = workers or app.config.workers or os.cpu_count() or 1
    slots = slots_of(app, queues, concurrency or app.config.concurrency)
    _warn_of_strangers(app, slots)
    return Supervisor(app, slots, count, limits).run()


def _check(app: App) -> None:
    """What would make every process end alike is said once, before there is one. Raises ConfigError."""
    if app.config.url and scheme(app.config.url) == "memory":
        raise ConfigError(
            "url is memory://, which other processes do not see: run the worker in the program that enqueues"
            " (streamq.worker.Worker), or leave the url out for the embedded server"
        )
    _ = app.payloads  # reads the keys


def _warn_of_strangers(app: App, queues: Iterable[str]) -> None:
    """Say which of the queues no task of the App is for; single calls may name them all the same."""
    known = sorted({task.options.queue for task in app.tasks.values()})
    for queue in queues:
        if queue not in known:
            near = get_close_matches(queue, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"its queues are {', '.join(known) or 'none'}"
            why = f"no task of the App is for queue {queue}; {hint}"
            Logger("streamq.supervisor").warning("supervisor.queue_without_tasks", queue=queue, hint=why)


class Supervisor:
    """Keeps ``count`` worker processes alive."""

    def __init__(self, app: App, slots: Mapping[str, int], count: int, limits: Limits) -> None:
        self._app, self._slots, self._count, self._limits = app, slots, count, limits
        lease = app.config.lease
        patience = min(app.config.reply_timeout, lease / 6, PATIENCE)
        self._config = replace(
            app.config, reply_timeout=patience, connect_timeout=patience, reconnect_for=patience / 2
        )
        self._engine = open_engine(self._config)
        self._anchors = [anchor_of(app.config.namespace, queue) for queue in slots]
        self._queue_of = dict(zip(self._anchors, slots, strict=True))
        self._not_renewed = Repeats()
        self._keeper = Keeper(self._engine, lease, self._anchors)
        self._obituaries = Obituaries(app, self._queue_of)
        self._burials = Burials(self._engine, self._obituaries.convicted)
        self._children = Children(app, self._engine, self._burials)
        self._suspects: dict[str, int] = {}
        self._signals: deque[tuple[int, bool]] = deque()  # number, and whether we were stopping
        self._due = {"renew": 0.0, "start": 0.0, "alone": 0.0}
        self._failures = self._code = 0
        self._is_stopping = self._is_empty = self._is_paused = False
        self._leave_by = float("inf")
        self._to_replace: deque[Child] = deque()
        self._health: Health | None = None
        self._log = Logger("streamq.supervisor")

    def run(self) -> int:
        """Supervise until all is over; the exit code."""
        self._log.info("supervisor.started", pid=os.getpid(), workers=self._count, queues=dict(self._slots))
        with selectors.DefaultSelector() as selector:
            self._listen(selector)
            self._app.close()  # nothing that the children would share
            try:
                while not self._is_over():
                    self._turn()
                    for key, _ in selector.select(TURN):
                        key.data()
            finally:
                self._children.signal(signal.SIGKILL)
                self._close_health()
                self._engine.close()
        self._log.info("supervisor.stopped", pid=os.getpid())
        return self._code

    def _turn(self) -> None:
        now = clock()
        while self._signals:
            self._tell_of(self._signals.popleft())
        deaths = self._children.reap()
        self._burials.proceed(now)
        for death in deaths:
            self._mourn(death, now)
        self._children.kill_stuck(now)
        if now >= self._due["renew"] and (len(self._children) or not self._is_stopping):
            self._renew(now)
        if now > self._leave_by:
            self._children.kill_overdue()
        if not self._is_stopping:
            self._replace_next()
            self._fork_missing(now)
        self._fork_alone(now)

    def _is_over(self) -> bool:
        is_away = self._burials.have_failed or clock() > self._leave_by
        if self._is_stopping and not len(self._children) and is_away:
            return True  # the server cannot be told whose jobs are to be given back: their leases will end
        if not self._children.is_clear:
            return False
        return self._is_stopping or (self._is_empty and not any(self._suspects.values()))

    # Children

    def _fork_missing(self, now: float) -> None:
        if self._is_empty or now < self._due["start"]:
            return
        staying = [
            child
            for child in self._children
            if not child.alone and not child.is_leaving and child.page.condition is not Condition.WORN
        ]
        missing = self._count - len(staying)
        for _ in range(missing):
            self._children.fork(page_for(self._app, self._slots), self._anchors, self._worker)

    def _worker(self, page: Page) -> Worker:
        self._close_health()
        worker = Worker(self._app, queues=self._slots, limits=self._limits, page=page)
        worker.pause(self._is_paused)
        return self._told(worker)

    def _told(self, worker: Worker) -> Worker:
        """A signal that came just before the fork holds for the child as well."""
        if self._is_stopping:
            worker.stop()
        return worker

    def _fork_alone(self, now: float) -> None:
        """A process of its own for each suspect, some at a time."""
        if self._is_stopping or self._is_paused or now < self._due["alone"]:
            return
        running = [child.anchors[0] for child in self._children if child.alone]
        for queue, anchor in zip(self._slots, self._anchors, strict=True):
            if self._suspects.get(anchor, 0) > running.count(anchor) and len(running) < ALONE:
                running.append(anchor)
                self._suspects[anchor] -= 1
                make = partial(self._lone_worker, queue)
                self._children.fork(page_for(self._app, {queue: 1}), [anchor], make, alone=True)

    def _lone_worker(self, queue: str, page: Page) -> Worker:
        self._close_health()
        limits = replace(self._limits, burst=False, max_jobs=None)
        return self._told(Worker(self._app, queues={queue: 1}, limits=limits, page=page, alone=True))

    def _mourn(self, death: Death, now: float) -> None:
        """What follows from the end of a child."""
        self._due["renew"] = now  # it may have left suspects
        if death.exit is None:
            self._obituaries.lost(death)
        if death.child.alone:
            self._due["alone"] = now + TURN
        elif death.exit is Exit.EMPTY:
            self._is_empty = True
        elif death.exit is Exit.MISCONFIGURED:
            self._give_up(now, Exit.MISCONFIGURED)
        elif death.child.page.condition is Condition.EMPTY:
            self._is_empty, self._code = True, Exit.FAILED  # another would find nothing, and fail as well
        elif death.exit in (Exit.FAILED, None):
            self._is_empty = False  # it may have left jobs behind
            self._pause_after(death, now)

    def _pause_after(self, death: Death, now: float) -> None:
        """One that got as far as working is followed at once; those that cannot start, at growing intervals."""
        could_not_start = death.child.page.condition is Condition.STARTING
        self._failures = self._failures + 1 if could_not_start else 0
        self._due["start"] = now + PAUSES[min(self._failures, len(PAUSES) - 1)]
        is_hopeless = self._failures >= HOPELESS and death.exit is Exit.FAILED
        if is_hopeless and not any(one.page.condition is Condition.READY for one in self._children):
            self._log.error(
                "supervisor.gives_up",
                failures=self._failures,
                hint="see why the processes cannot start, above",
            )
            self._give_up(now, Exit.FAILED)

    def _give_up(self, now: float, code: int) -> None:
        """No process gets as far as working: that does not mend itself."""
        self._code, self._is_stopping, self._leave_by = code, True, now + EXTRA
        self._children.signal(signal.SIGTERM)

    def _replace_next(self) -> None:
        """HUP: one child after the other leaves when another one is ready in its place."""
        if not self._to_replace:
            return
        leaving = [child for child in self._children if child.is_leaving]
        fresh = [child for child in self._children if not child.alone and not child.is_leaving]
        if leaving or len(fresh) < self._count or any(c.page.condition is Condition.STARTING for c in fresh):
            return
        child = self._to_replace.popleft()
        child.is_leaving = True
        self._children.send(child, signal.SIGTERM)

    # Leases

    def _renew(self, now: float) -> None:
        self._due["renew"] = now + self._config.lease / 3
        try:
            self._suspects = self._keeper.renew((child.anchors, child.page) for child in self._children)
            self._burials.proceed(now)
        except StreamqError as error:
            self._due["renew"] = now + min(1.0, self._config.lease / 10)
            if times := self._not_renewed.met(now):
                self._log.warning("supervisor.leases_not_renewed", error=str(error), times=times)

    # Signals

    def _listen(self, selector: selectors.BaseSelector) -> None:
        """Signals are obeyed at once, also while the server is waited for, and wake the loop."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        selector.register(ours, selectors.EVENT_READ, lambda: ours.recv(64))
        self._pipe = (ours, theirs)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            signal.signal(number, lambda number, frame: self._obey(number))
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        if not self._config.health_port:
            return
        self._health = Health(self._config.health_host, self._config.health_port, self._readiness)
        self._health.register(selector)

    def _obey(self, number: int) -> None:
        """In the signal's handler: between any two steps of the loop, so it is only said later (see ``_tell_of``)."""
        again = self._is_stopping
        self._signals.append((number, again))
        match number:
            case signal.SIGTERM | signal.SIGINT:
                self._is_stopping = True
                self._leave_by = clock() + EXTRA + (0 if again else self._limits.timeout)
                for child in self._children:
                    if again or not child.is_leaving:  # a second one means: at once
                        self._children.send(child, signal.SIGTERM)
            case signal.SIGHUP:
                self._to_replace = deque(child for child in self._children if not child.alone)
            case signal.SIGUSR1 | signal.SIGUSR2:
                self._is_paused = number == signal.SIGUSR1  # also for children to come
                self._children.signal(number)

    def _tell_of(self, obeyed: tuple[int, bool]) -> None:
        number, was_stopping = obeyed
        match number:
            case signal.SIGTERM | signal.SIGINT:
                self._log.info("supervisor.leaving", at_once=was_stopping)
            case signal.SIGHUP:
                self._log.info("supervisor.replacing", workers=self._count)
            case _:
                self._log.info("supervisor.paused" if number == signal.SIGUSR1 else "supervisor.resumed")

    def _close_health(self) -> None:
        """Also in the children, which would keep the port."""
        if self._health:
            self._health.close()

    def _readiness(self) -> tuple[bool, str]:
        working = [child for child in self._children if child.page.condition is Condition.READY]
        heard = max((child.page.answered for child in working), default=0.0)
        if self._is_stopping:
            return False, "leaving"
        if self._is_paused:
            return False, "paused by a signal; USR2 goes on"
        if not working:
            return False, "no worker process is ready"
        if clock() - heard > self._config.lease:
            return False, f"the server has not answered for {clock() - heard:.0f} s"
        return True, f"{len(working)} of {self._count} worker processes are ready"
