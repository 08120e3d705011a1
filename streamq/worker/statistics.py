"""How long jobs waited and ran: log-linear histograms of counts, told to the server about once a second.

A bucket is a number of microseconds with three bits behind the leading one: eight buckets an octave, so a quantile is
within 6 %. The names of the counts are ``run:<task>:<bucket>``, ``wait:<task>:<bucket>`` and ``ended:<task>:<outcome>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streamq.worker.deadlines import Usual

__all__ = ["BUCKETS", "SMALL", "Histogram", "Tally", "bucket_of", "middle_of", "quantile"]

BUCKETS = 512


def bucket_of(us: int) -> int:
    """The bucket of a duration in microseconds. One below 0, or of 300,000 years, comes from a clock or a foreign id."""
    us = min(max(us, 0), 2**63 - 1)
    bits = us.bit_length()
    return bits << 3 | us >> (bits - 4) & 7 if bits > 3 else us


def middle_of(bucket: int) -> float:
    """The middle of a bucket, in microseconds."""
    return bucket if bucket < 32 else (8 + (bucket & 7) + 0.5) * 2.0 ** ((bucket >> 3) - 4)


def quantile(counts: Iterable[tuple[int, int]], q: float) -> float:
    """The duration in microseconds below which the part ``q`` of all lies; ``counts`` are (bucket, count)."""
    ordered = sorted(counts)
    left = q * sum(count for _, count in ordered)
    for bucket, count in ordered:
        left -= count
        if left <= 0:
            return middle_of(bucket)
    return 0.0


SMALL = [bucket_of(us) for us in range(4096)]  # the buckets of short durations, looked up on the hot path


class Histogram:
    """Counts of one thing since they were last told."""

    __slots__ = ("counts", "name")

    def __init__(self, name: str) -> None:
        self.name, self.counts = name, [0] * BUCKETS

    def total(self) -> tuple[int, float]:
        """How many were counted, and how many seconds they took together."""
        found = [(count, middle_of(bucket)) for bucket, count in enumerate(self.counts) if count]
        return sum(count for count, _ in found), sum(count * us for count, us in found) / 1e6

    def drain(self) -> Iterator[tuple[str, int]]:
        """The counts by name; they begin anew."""
        for bucket, count in enumerate(self.counts):
            if count:
                self.counts[bucket] = 0
                yield f"{self.name}:{bucket}", count


class Tally:
    """The durations and endings of one task's jobs, and what they usually take."""

    __slots__ = ("endings", "run", "task", "usual", "wait")

    def __init__(self, task: str) -> None:
        self.task = task
        self.run, self.wait = Histogram(f"run:{task}"), Histogram(f"wait:{task}")
        self.endings: dict[str, int] = {}
        self.usual = Usual()

    def ended(self, outcome: str, count: int = 1) -> None:
        """Count endings: ``completed``, ``retry``, ``dead`` …"""
        self.endings[outcome] = self.endings.get(outcome, 0) + count

    def single(self, outcome: str, seconds: float) -> None:
        """Count one ending and how long it ran."""
        self.ended(outcome)
        self.run.counts[bucket_of(int(seconds * 1e6))] += 1

    def drain(self, now: float) -> list[tuple[str, int]]:
        """All counts by name; they begin anew. What was counted says what is usual."""
        runs, seconds = self.run.total()
        if runs:
            self.usual.learn(runs, seconds, now)
        endings, self.endings = self.endings, {}
        ended = [(f"ended:{self.task}:{outcome}", count) for outcome, count in endings.items()]
        return [*ended, *self.run.drain(), *self.wait.drain()]
