"""What a peer's handlers call: it counts in this process, and a thread tells the suite a hundred times a second.

It needs nothing but Python, costs a job one append to a list, and works in forked workers. Lines of what is told:
``<process> <jobs begun> <time>``, and ``late <ms>``.
"""

from __future__ import annotations

import os
import socket
import threading
import time

__all__ = ["begun", "late"]

INTERVAL = 0.01

_begun: list[None] = []  # appending is atomic in threads
_telling: socket.socket | None = None
_opening = threading.Lock()


def begun() -> None:
    """A handler began."""
    _begun.append(None)
    if _telling is None:
        _open()


def late(sent: float) -> None:
    """A handler began whose job was sent at ``sent`` (time.time())."""
    milliseconds = (time.time() - sent) * 1e3
    _open().sendall(b"late %.4f\n" % milliseconds)


def _open() -> socket.socket:
    global _telling
    with _opening:
        if _telling is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(os.environ["BENCH_TALLY"])
            _telling = connection
            threading.Thread(target=_tell, args=(connection,), daemon=True).start()
        return _telling


def _tell(connection: socket.socket) -> None:
    told = 0
    while True:
        time.sleep(INTERVAL)
        count = len(_begun)
        if count != told:
            connection.sendall(b"%d %d %.6f\n" % (os.getpid(), count, time.time()))
            told = count


def _begin_anew() -> None:
    global _telling, _opening
    _begun.clear()
    _telling, _opening = None, threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)
