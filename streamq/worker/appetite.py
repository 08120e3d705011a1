"""How many jobs a queue's fetch loop asks for. Pure: times are passed in.

Never more than the free slots and what the slots finish in about 50 ms, and no look-ahead before that is known: a queue
of long jobs hoards nothing, a queue of tiny ones gets batches of hundreds. Where there are batches, a slot takes many.
"""

from __future__ import annotations

from typing import Protocol

from streamq.protocol.consume import MAX_TAKE

__all__ = ["Appetite", "GroupAppetite"]

AHEAD = 0.05  # seconds of work to hold
HELD = 2 * MAX_TAKE  # one batch runs while the next one is fetched
LEAST_SHARE = 0.125  # of jobs that are no members, to which that of a mixed queue is rounded up


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


class Gathering(Protocol):
    """What must be known of members. ``share``: the part of the deliveries that they are."""

    share: float

    @property
    def waiting(self) -> int: ...

    def room(self, free: int) -> int: ...


class GroupAppetite(Appetite):
    """Of a queue with batches: a slot takes as many members as one run may have.

    What will come is not known before, and other jobs must not be hoarded. So for each of those that are wanted, only as
    many members are asked for as come with it: eight at most, unless nothing else ever came.
    """

    __slots__ = ("_groups",)

    def __init__(self, now: float, groups: Gathering) -> None:
        super().__init__(now)
        self._groups = groups

    def missing(self, free: int, waiting: int) -> int:
        """How many more may be asked for; ``waiting``: members are among them."""
        room, share = self._groups.room(free), self._groups.share
        jobs = self._jobs(free, waiting)
        if share == 1:
            return max(0, min(MAX_TAKE, max(room, jobs)))
        company = min(room / share if share else 0, jobs / max(1 - share, LEAST_SHARE))
        return max(0, min(MAX_TAKE, HELD - waiting, max(jobs, int(company))))

    def worth_asking(self, free: int, waiting: int) -> bool:
        """Whether so many are missing that a round trip pays; what a group lacks does, while a slot is free for it."""
        if not (missing := self.missing(free, waiting)):
            return False
        is_short_of_jobs = 0 < self._target(free) <= 2 * self._jobs(free, waiting)
        return is_short_of_jobs or 0 < self._groups.room(free) <= missing

    def _jobs(self, free: int, waiting: int) -> int:
        """How many are missing that are no members; where nothing else comes, a member is a job."""
        members = self._groups.waiting if self._groups.share < 1 else 0
        return super().missing(free, waiting - members)
