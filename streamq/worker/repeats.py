"""Troubles that go on: said at once, then every half minute at most, with how often they were met. Times are passed in."""

from __future__ import annotations

__all__ = ["Repeats"]

QUIET = 30.0  # seconds between two lines about the same


class Repeats:
    """One kind of trouble."""

    def __init__(self) -> None:
        self._untold, self._next = 0, 0.0

    def met(self, now: float) -> int:
        """It was met again: how often since it was said last, when it should be said now; else 0."""
        self._untold += 1
        if now < self._next:
            return 0
        times, self._untold, self._next = self._untold, 0, now + QUIET
        return times
