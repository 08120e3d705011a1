"""The suite's end of the tally: how many jobs all worker processes have begun, and when."""

from __future__ import annotations

import queue
import socketserver
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Listening"]


class _Lines(socketserver.StreamRequestHandler):
    """One worker process."""

    def handle(self) -> None:
        for line in self.rfile:
            self.server.owner.heard(line.split())  # type: ignore[attr-defined]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


class Listening:
    """Listens on a unix socket while it is a context. ``lates``: milliseconds, as they come."""

    def __init__(self, path: Path) -> None:
        self.path, self.lates = path, queue.Queue[float]()
        self._history: list[tuple[float, int]] = []
        self._counts: dict[bytes, int] = {}
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """Jobs begun so far."""
        return self._history[-1][1] if self._history else 0

    def rate(self, jobs: int, first: float = 0.1, last: float = 0.95) -> float:
        """Jobs/s between the first and the last part of ``jobs``."""
        with self._lock:
            history = sorted(self._history)
        began = next(row for row in history if row[1] >= jobs * first)
        ended = next(row for row in history if row[1] >= jobs * last)
        if ended[0] <= began[0]:  # all was told at once: too few jobs to measure
            return 0.0
        return (ended[1] - began[1]) / (ended[0] - began[0])

    def heard(self, words: list[bytes]) -> None:
        """A line: ``late <ms>``, or ``<process> <jobs begun> <time>``."""
        if words[0] == b"late":
            self.lates.put(float(words[1]))
            return
        with self._lock:
            self._counts[words[0]] = int(words[1])
            self._history.append((float(words[2]), sum(self._counts.values())))

    def __enter__(self) -> Self:
        self.path.unlink(missing_ok=True)
        self._server = _Server(str(self.path), _Lines)
        self._server.owner = self  # type: ignore[attr-defined]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.path.unlink(missing_ok=True)
