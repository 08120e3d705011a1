"""The children of a supervisor: forked, watched through their pages, and buried, with their jobs given back.

Nothing here waits for anything but the server. Names of jobs that had started when a child died are told to the server
as suspects: they run alone from then on, and only a death alone counts against one.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from streamq.engines.base import Engine
from streamq.errors import StreamqError
from streamq.protocol.consume import abandon
from streamq.protocol.inspect import job
from streamq.worker.page import FOREVER, Page, Section, Started
from streamq.worker.process import SIGNALS, Exit, be_worker, preload
from streamq.worker.repeats import Repeats
from streamq.worker.rescue import release_unbegun
from streamq.worker.worker import Worker

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["Child", "Children", "Death"]

LATE = 1.0  # seconds after a deadline in which a child ends a late handler by itself
SLOW = 5.0  # seconds without a turn of its loop after which what a child has not begun is given to others
STUCK = 30.0  # seconds without a turn of its loop, though no handler has begun, after which a child is killed
NAMED = 20  # suspects of a death whose task is asked for
POISON = "poison"  # the reason of a dead letter whose handler killed its processes

clock = time.monotonic
Fields = dict[str, str]


@dataclass(slots=True, eq=False)
class Child:
    """A worker process. ``anchors`` in the order of the page's sections; ``alone``: it runs one suspect."""

    pid: int
    page: Page
    anchors: Sequence[str]
    alone: bool = False
    born: float = field(default_factory=clock)
    is_leaving: bool = False
    killed: str = ""  # why it was killed from here
    rescued_at: float = (
        0.0  # the heartbeat since which nothing has turned, when its waiting jobs were given back
    )


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended: ``code`` is its exit code, or the negative number of the signal that killed it."""

    child: Child
    code: int

    @property
    def exit(self) -> Exit | None:
        """How the child ended itself; None when it crashed, also with a code that means something here."""
        return Exit(self.code) if self.code == self.child.page.farewell else None

    @property
    def why(self) -> str:
        """How it died, for people."""
        if self.child.killed:
            return f"killed: {self.child.killed}"
        return _signal_name(-self.code) if self.code < 0 else f"exit code {self.code}"


class Children:
    """All that live, and the dead whose jobs have not been given back yet.

    ``convicted`` is told of a job for which the death of its process was one too many, with the job's fields.
    """

    def __init__(self, app: App, engine: Engine, convicted: Callable[[str, Started, Fields], None]) -> None:
        self._app, self._engine, self._convicted = app, engine, convicted
        self._alive: dict[int, Child] = {}
        self._unburied: list[Child] = []
        self._is_frozen = False
        self._not_given_back = Repeats()
        self._log = structlog.get_logger("streamq.supervisor")

    def __len__(self) -> int:
        return len(self._alive)

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._alive.values()))

    @property
    def is_clear(self) -> bool:
        """Nobody lives, and nobody waits for a burial."""
        return not self._alive and not self._unburied

    def fork(
        self, page: Page, anchors: Sequence[str], make: Callable[[Page], Worker], *, alone: bool = False
    ) -> Child:
        """Make a child, from memory that was collected and frozen once, so that it stays shared."""
        if not self._is_frozen:
            self._is_frozen = True
            preload()
            gc.collect()
            gc.freeze()
        sys.stdout.flush()
        sys.stderr.flush()
        supervisor = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        pid = os.fork()
        if pid == 0:
            be_worker(self._app, make, page, supervisor)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        child = self._alive[pid] = Child(pid, page, anchors, alone)
        return child

    def signal(self, number: int) -> None:
        """Send a signal to all."""
        for child in self:
            self.send(child, number)

    def send(self, child: Child, number: int) -> None:
        """Send a signal to one."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)

    def reap(self) -> list[Death]:
        """Those that have ended since the last time; their jobs are given back."""
        deaths: list[Death] = []
        while self._alive:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            child = self._alive.pop(pid, None)
            if child is not None:
                deaths.append(Death(child, os.waitstatus_to_exitcode(status)))
                self._unburied.append(child)
        self.bury()
        return deaths

    def bury(self) -> None:
        """Give back what the dead held; what cannot be done now is tried again."""
        for child in list(self._unburied):
            try:
                self._give_back(child)
            except StreamqError as error:
                if times := self._not_given_back.met(clock()):
                    self._log.warning(
                        "worker.jobs_not_given_back_yet", pid=child.pid, error=str(error), times=times
                    )
                return
            self._unburied.remove(child)

    def suspects(self, child: Child) -> list[tuple[str, str, str | None]]:
        """What had started in a child: anchor, id in the shard, and the task of the first few where it can be known."""
        found = [
            (anchor, begun.job, begun.task)
            for anchor, section in zip(child.anchors, child.page.sections, strict=True)
            for begun in section.begun()
        ]
        named = [(anchor, name, task or self._task(anchor, name)) for anchor, name, task in found[:NAMED]]
        return named + found[NAMED:]

    def _task(self, anchor: str, name: str) -> str | None:
        try:
            return self._engine.run(job(anchor, 0, name)).get("task")
        except StreamqError:
            return None

    def kill_stuck(self, now: float) -> None:
        """Kill those whose handler is past its deadline, or whose loop hangs: nothing in the process can end that."""
        for child in self:
            deadline, heartbeat = child.page.earliest_deadline(), child.page.heartbeat or now
            if now > deadline + LATE:
                self._kill(child, "a handler is past its deadline and cannot be ended")
            elif now > heartbeat + SLOW and child.rescued_at != heartbeat:
                self._rescue(child, heartbeat)
            elif now > heartbeat + STUCK and deadline == FOREVER and not _has_started(child):
                self._kill(child, f"its loop has not turned for {now - heartbeat:.0f} s")

    def _rescue(self, child: Child, heartbeat: float) -> None:
        try:
            released = release_unbegun(self._engine, child.anchors, child.page)
        except StreamqError as error:
            self._log.warning("worker.stuck", pid=child.pid, error=str(error))
            return
        child.rescued_at = heartbeat
        self._log.warning("worker.stuck", pid=child.pid, seconds=SLOW, given_back=released)

    def _kill(self, child: Child, why: str) -> None:
        child.killed = why
        if not child.is_leaving or child.page.earliest_deadline() != FOREVER:
            self._log.error("worker.killed", pid=child.pid, why=why)
        self.send(child, signal.SIGKILL)

    def _give_back(self, child: Child) -> None:
        for anchor, section in zip(child.anchors, child.page.sections, strict=True):
            started = section.started()
            for entitled in section.entitled():
                moved = self._engine.run(abandon(anchor, 0, entitled.id, alone=child.alone, suspects=started))
                if child.alone:
                    self._look_for_convicts(anchor, section)
                section.strike(entitled.id)
                self._log.info("worker.jobs_given_back", pid=child.pid, moved=moved, suspects=len(started))

    def _look_for_convicts(self, anchor: str, section: Section) -> None:
        for suspect in section.begun():
            fields = self._engine.run(job(anchor, 0, suspect.job))
            if fields.get("reason") == POISON:
                self._convicted(anchor, suspect, fields)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of the real-time ones, two have names
        return f"signal {number}"


def _has_started(child: Child) -> bool:
    return any(section.started() for section in child.page.sections)
