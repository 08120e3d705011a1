"""How many jobs a queue's fetch loop asks for. Pure: times are passed in.

Never more than the free slots and what the slots finish in about 50 ms, and no look-ahead before that is known: a queue
of long jobs hoards nothing, a queue of tiny ones gets batches of hundreds.
"""

from __future__ import annotations

from streamq.protocol.consume import MAX_TAKE

__all__ = ["Appetite"]

AHEAD = 0.05  # seconds of work to hold
HELD = 2 * MAX_TAKE  # one batch runs while the next one is fetched


class Appetite:
    """The pace of a queue's jobs in this process, and what follows from it."""

    __slots__ = ("_per_job", "_since")

    def __init__(self, now: float) -> None:
        self._since = now
        self._per_job: float | None = None  # seconds, smoothed

    def finished(self, count: int, now: float) -> None:
        """``count`` jobs ended since the last time."""
        if count:
            pace = (now - self._since) / count
            self._per_job = pace if self._per_job is None else self._per_job + (pace - self._per_job) * 0.3
        self._since = now

    def missing(self, free: int, waiting: int) -> int:
        """How many more may be asked for."""
        return min(MAX_TAKE, max(0, self._target(free) - waiting))

    def worth_asking(self, free: int, waiting: int) -> bool:
        """Whether so many are missing that a round trip pays."""
        return 0 < self._target(free) <= 2 * self.missing(free, waiting)

    def _target(self, free: int) -> int:
        ahead = int(AHEAD / max(self._per_job, 1e-6)) if self._per_job else 0
        return min(HELD, free + ahead)
