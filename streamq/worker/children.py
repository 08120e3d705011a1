"""The children of a supervisor: forked, watched through their pages, killed when they are stuck, and buried.

Nothing here waits for anything but the server.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from streamq.engines.base import Engine
from streamq.errors import StreamqError
from streamq.logger import Logger
from streamq.worker.burial import Burials
from streamq.worker.child import Child, Death
from streamq.worker.page import FOREVER, Page
from streamq.worker.process import HELD, be_worker, preload
from streamq.worker.rescue import release_unbegun
from streamq.worker.sink import flush_streams
from streamq.worker.worker import Worker

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["Children"]

LATE = 1.0  # seconds after a deadline in which a child ends a late handler by itself
SLOW = 5.0  # seconds without a turn of its loop after which what a child has not begun is given to others
STUCK = 30.0  # seconds without a turn of its loop, though no handler has begun, after which a child is killed

clock = time.monotonic


class Children:
    """All that live, and the dead that are to be buried."""

    def __init__(self, app: App, engine: Engine, burials: Burials) -> None:
        self._app, self._engine, self._burials = app, engine, burials
        self._alive: dict[int, Child] = {}
        self._is_frozen = False
        self._log = Logger("streamq.supervisor")

    def __len__(self) -> int:
        return len(self._alive)

    def __iter__(self) -> Iterator[Child]:
        return iter(list(self._alive.values()))

    @property
    def is_clear(self) -> bool:
        """Nobody lives, and nobody waits for a burial."""
        return not self._alive and not self._burials

    def fork(
        self, page: Page, anchors: Sequence[str], make: Callable[[Page], Worker], *, alone: bool = False
    ) -> Child:
        """Make a child, from memory that was collected and frozen once, so that it stays shared."""
        if not self._is_frozen:
            self._is_frozen = True
            preload(self._app)
            gc.collect()
            gc.freeze()
        flush_streams()
        supervisor = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        pid = os.fork()
        if pid == 0:
            be_worker(self._app, make, page, supervisor)
        child = self._alive[pid] = Child(pid, page, anchors, alone)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)  # from here on it gets what the supervisor gets
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
        """Those that have ended since the last time; their burial is due."""
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
                self._burials.add(deaths[-1])
        return deaths

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

    def kill_overdue(self) -> None:
        """Kill those that live although their time to leave is over. That accuses nothing of what runs in them."""
        for child in self:
            if not child.killed:
                child.is_overdue = True
                self._kill(child, "its time to leave was over")

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


def _has_started(child: Child) -> bool:
    return any(section.started() for section in child.page.sections)
