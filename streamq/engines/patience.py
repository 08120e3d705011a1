"""Whether and when a call that failed is sent again.

What was surely not executed may be repeated by anybody; what may have been executed only when the call is repeatable.
A server that could not be reached the first time is not waited for: a wrong URL shall be seen at once.
"""

from __future__ import annotations

import random
import time

from streamq.engines.failures import Busy, Unreachable
from streamq.errors import ConnectionLost, ReadOnlyServer, ServerUnavailable

__all__ = ["LOADS", "Patience"]

LOADS = 3  # times that one call loads a library which somebody keeps removing

_FIRST = 0.02  # seconds
_LONGEST = 0.5


class Patience:
    """The repetitions of one call within ``seconds``, with growing pauses and jitter.

    ``connected``: the server was reached before. ``moves``: the next connection may find another server.
    """

    __slots__ = ("_connected", "_moves", "_pause", "_until")

    def __init__(self, seconds: float, connected: bool, moves: bool) -> None:
        self._until = time.monotonic() + seconds
        self._connected, self._moves, self._pause = connected, moves, _FIRST

    def pause(self, error: ServerUnavailable, repeatable: bool) -> float:
        """Seconds to wait before the call is sent again; raises ``error`` when it must not be, or no more."""
        if not self._allowed(error, repeatable) or time.monotonic() >= self._until:
            raise error
        pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
        self._pause = min(self._pause * 2, _LONGEST)
        return pause

    def _allowed(self, error: ServerUnavailable, repeatable: bool) -> bool:
        match error:
            case Busy():
                return True
            case Unreachable():
                return self._connected
            case ReadOnlyServer():
                return self._moves  # the old master; the next connection finds the new one
            case ConnectionLost():
                return repeatable
        return False
