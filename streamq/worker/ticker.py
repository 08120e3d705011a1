"""The ticks of a worker: what it looks at some times a second, as deadlines, leases and limits.

A look that fails, as when no file can be opened any more, is said and keeps no other from being taken.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from streamq.logger import Logger
from streamq.worker.repeats import Repeats

__all__ = ["Look", "Ticker"]

TICK = 0.05  # seconds between two looks
SECOND = 20  # ticks between two looks at what changes slowly

clock = time.monotonic
Look = Callable[[float], object]  # is told the time


class Ticker:
    """Takes ``looks`` at every tick, and ``slow`` ones once a second. None may wait for anything."""

    def __init__(self, looks: Sequence[Look], slow: Sequence[Look]) -> None:
        self._looks, self._slow = looks, slow
        self._failures: defaultdict[str, Repeats] = defaultdict(Repeats)
        self._log = Logger("streamq.worker")

    async def run(self) -> None:
        """Tick until cancelled."""
        for tick in itertools.count(1):
            now = clock()
            for look in self._looks if tick % SECOND else (*self._looks, *self._slow):
                self._take(look, now)
            await asyncio.sleep(TICK)

    def _take(self, look: Look, now: float) -> None:
        try:
            look(now)
        except Exception:
            name = look.__qualname__
            if times := self._failures[name].met(now):
                self._log.exception("worker.look_failed", look=name, times=times)
