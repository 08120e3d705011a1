"""Where the lines of a worker go: standard error, as it was when the worker began, and never in the way of the work.

The disk may be full, the reader of a pipe gone or asleep, the descriptor closed by a handler. Then lines are lost, and
how many is said as soon as one can be written again. Nothing is kept for later: the lines before a crash are out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
import sys
import time
from collections.abc import Callable

__all__ = ["Sink", "flush_streams", "standard_error"]

PATIENCE = 0.5  # seconds that lines may wait for a slow reader, all together
REGAINED = 0.02  # seconds of it that come back in a second: a reader that sleeps costs 2 % of the time

clock = time.monotonic


def standard_error() -> int:
    """A descriptor of our own for it, because handlers close theirs; that of /dev/null where there is none.

    Pipes and terminals are opened anew where the system allows that: then a write to one that is full does not wait,
    and those who share it are not concerned.
    """
    while (free := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # what was closed at the start must not become a connection, into which others would write
    try:
        theirs = sys.stderr.fileno()
        os.dup2(theirs, free, inheritable=False)
        if stat.S_ISFIFO(mode := os.fstat(theirs).st_mode) or stat.S_ISCHR(mode):
            flags = fcntl.fcntl(theirs, fcntl.F_GETFL) | os.O_NONBLOCK | os.O_NOCTTY
            anew = os.open(f"/proc/self/fd/{theirs}", flags)
            os.close(free)
            return anew
    except (AttributeError, OSError, ValueError):
        pass  # it was closed, is no file, or cannot be opened anew
    return free


def flush_streams() -> None:
    """Write what standard output and standard error have buffered, if that can be done."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


class Sink:
    """A structlog logger that writes to a descriptor and never raises. ``tell`` says how many lines were lost.

    A line and its end are one write, because the processes of a worker share the file.
    """

    def __init__(self, descriptor: int, tell: Callable[[int], None]) -> None:
        self._descriptor, self._tell = descriptor, tell
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        waits = not is_file and not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_NONBLOCK
        self._most = select.PIPE_BUF if waits else sys.maxsize  # bytes that fit where there is room
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """In each process: what another one lost is said by that one."""
        self._lost, self._is_torn = 0, False
        self._patience, self._waited = PATIENCE, clock()

    def msg(self, line: str) -> None:
        """Write a line, or count it as lost."""
        if not self._write(line.encode("utf-8", "backslashreplace") + b"\n"):
            self._lost += 1
        elif self._lost:
            lost, self._lost = self._lost, 0
            self._tell(lost)
            if self._lost:
                self._lost = lost  # that line had no room

    log = debug = info = warning = error = critical = exception = fatal = msg

    def _write(self, data: bytes) -> bool:
        """Whether all of it is out. What follows a line of which only a part is out begins on a line of its own."""
        whole = memoryview(b"\n" + data if self._is_torn else data)
        left = whole
        with contextlib.suppress(OSError):
            while left and self._has_room():
                left = left[os.write(self._descriptor, left[: self._most]) :]
        if len(left) < len(whole):
            self._is_torn = len(left) > 0
        return not left

    def _has_room(self) -> bool:
        """Whether a write would go through, perhaps in a moment."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if poll.poll(0):
            return True
        began = clock()
        self._patience = min(PATIENCE, self._patience + REGAINED * (began - self._waited))
        found = poll.poll(max(0.0, self._patience) * 1000)
        self._waited = clock()
        self._patience -= self._waited - began
        return bool(found)
