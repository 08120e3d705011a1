"""Idempotent producing: every enqueue has a name that its repetitions share, so that a lost reply makes no second job.

A process takes 128 random bits as its producer name. A call borrows one of its channels, which allow one call at a
time, and carries the channel's next number: the server knows a repeated call, and refuses one that comes too late.
Nothing here sends anything; an engine repeats a call whose outcome is unknown, with the same name and bytes.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock

from streamq.protocol import Call
from streamq.protocol.enqueue import MAX_BATCH, Enqueued, NewJob, enqueue

__all__ = ["MAX_BATCH_BYTES", "MAX_CHANNELS", "NAME_LIFETIME", "Channel", "Producer", "batches"]

MAX_CHANNELS = 1024
MAX_BATCH_BYTES = 4 * 2**20 - 2**16  # below the server's 4 MiB: names and numbers come on top
NAME_LIFETIME = 12 * 3600.0  # seconds; the server forgets a name 24 h after it first saw it


class Channel:
    """A numbered line of calls, one at a time. It belongs to the name under which it was made."""

    __slots__ = ("number", "producer", "sequence")

    def __init__(self, producer: str, number: int) -> None:
        self.producer, self.number, self.sequence = producer, number, 0

    def call(self, anchor: str, jobs: Sequence[NewJob]) -> Call[Enqueued]:
        """The next call: however often it is carried to the server, its jobs are added once."""
        self.sequence += 1
        return enqueue(anchor, 0, self.producer, self.number, self.sequence, jobs)


class Producer:
    """The channels of one process; used from any thread.

    A name is used for 12 hours and for 1,024 channels at most: then a new one is taken, and the old one's channels
    end when they are given back. So no call ever waits for a channel, and none outlives the server's memory of it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._rename()

    def borrow(self) -> Channel:
        """A channel without a call in flight. Give it back when the call has ended, in whatever way."""
        if self._clock() >= self._until:
            self._renew()
        try:
            return self._free.pop()
        except IndexError:
            return self._grow()

    def give_back(self, channel: Channel) -> None:
        """The channel's call has ended. A late copy of it will be refused as soon as the channel's next call is there."""
        if channel.producer == self.name:
            self._free.append(channel)

    def _grow(self) -> Channel:
        with self._lock:
            if self._made == MAX_CHANNELS:
                self._rename()
            self._made += 1
            return Channel(self.name, self._made)

    def _renew(self) -> None:
        with self._lock:
            if self._clock() >= self._until:
                self._rename()

    def _rename(self) -> None:
        self.name = secrets.token_hex(16)
        self._free: list[Channel] = []
        self._made = 0
        self._until = self._clock() + NAME_LIFETIME


def batches(jobs: Iterable[NewJob]) -> Iterator[list[NewJob]]:
    """Cut into calls that the server accepts: at most 1,000 jobs and 4 MiB each. Lazy, so sending can begin early."""
    batch: list[NewJob] = []
    room = MAX_BATCH_BYTES
    for job in jobs:
        size = len(job.body)
        if len(batch) == MAX_BATCH or (size > room and batch):
            yield batch
            batch, room = [], MAX_BATCH_BYTES
        batch.append(job)
        room -= size
    if batch:
        yield batch
