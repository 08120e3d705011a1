"""Deadlines: a job that cannot be finished in time is not begun, so that the time goes to one that can.

What a task usually takes is the mean of its recent runs in this process (``Usual``). Where nothing is known yet, or
nothing has been learnt for a while, a job is run: else a task all of whose jobs were let go would never be tried again.
"""

from __future__ import annotations

__all__ = ["TooLate", "Usual", "refuse_late"]

LEAST = 5  # runs before a mean says anything: the first ones open connections and fill caches
KEPT = 0.9  # of what was known counts beside what is learnt: about the last ten lessons, one a second at most
FORGOTTEN = 60.0  # seconds without a run after which nothing is known


class TooLate(Exception):
    """The job cannot be finished before its deadline."""


class Usual:
    """What the jobs of a task take. ``learn`` and ``mean`` are told the time, in seconds on any one clock."""

    __slots__ = ("_at", "_runs", "_seconds", "_seen")

    def __init__(self) -> None:
        self._runs = self._seconds = self._at = 0.0
        self._seen = 0

    def learn(self, runs: int, seconds: float, now: float) -> None:
        """So many runs took so many seconds together."""
        if now - self._at > FORGOTTEN:
            self._runs, self._seconds, self._seen = 0.0, 0.0, 0
        self._runs, self._seconds = self._runs * KEPT + runs, self._seconds * KEPT + seconds
        self._seen, self._at = self._seen + runs, now

    def mean(self, now: float) -> float | None:
        """Seconds that a run takes, newer runs counting more; None when too little is known."""
        if self._seen < LEAST or now - self._at > FORGOTTEN:
            return None
        return self._seconds / self._runs


def refuse_late(left: float, usual: float | None) -> None:
    """Raise TooLate when less than the usual time is left (both in seconds)."""
    if left <= 0:
        raise TooLate(f"its deadline was {-left:.1f} s ago")
    if usual is not None and left < usual:
        raise TooLate(f"deadline in {left:.1f} s, it takes {usual:.1f} s")
