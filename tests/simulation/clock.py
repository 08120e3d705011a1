"""Virtual time: what happens when, in an order that a seed repeats."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

HOUR = 3_600_000
START = 1_234_567_880_000  # not round: servers write 1e12 differently, also in DEBUG DIGEST
GRID = 20  # ms; producers call on these, so that the ids of two masters would meet


class Clock:
    """True time in ms (``t``), the wall clock beside it (``wall``), and what is planned."""

    def __init__(self) -> None:
        self.t = START
        self.skew = 0
        self.stepped_at = 0  # when the wall clock jumped last
        self.events = 0
        self._highest = START
        self._planned: list[tuple[int, int, Callable[..., object], tuple[object, ...]]] = []
        self._order = count()

    @property
    def wall(self) -> int:
        """What the wall clock shows: true time and all jumps."""
        return self.t + self.skew

    @property
    def highest_wall(self) -> int:
        """The latest that the wall clock ever showed."""
        return max(self._highest, self.wall)

    def step(self, ms: int) -> None:
        """The wall clock jumps."""
        self._highest = self.highest_wall
        self.skew += ms
        self.stepped_at = self.t

    def after(self, delay: int, action: Callable[..., object], *args: object) -> None:
        """Plan an action, ``delay`` ms from now."""
        heapq.heappush(self._planned, (self.t + delay, next(self._order), action, args))

    def run(self, ms: int) -> None:
        """Let ``ms`` pass."""
        end = self.t + ms
        while self._planned and self._planned[0][0] <= end:
            self.t, _, action, args = heapq.heappop(self._planned)
            self.events += 1
            action(*args)
        self.t = end
