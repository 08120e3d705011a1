"""A page of memory that a worker process shares with its supervisor: what must be known of it when it is dead or stuck.

The process writes its heartbeat, its state, its consumers and, in one cell for each seat, what has started and until
when it may run. The supervisor writes when each consumer's lease was last renewed. All times are on the monotonic
clock, which all processes of a machine share. Nothing is locked: each value has one writer, and a reader that meets a
half-written text finds an id that nobody has.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

__all__ = ["CONSUMERS", "FOREVER", "Cell", "Condition", "Entitled", "Page", "Section", "Started"]

CONSUMERS = (
    8  # ids that one queue of one process may have at a time: the current one, and some that are leaving
)
_TEXT = 40  # bytes of a consumer's id or of a delivery
_ABOUT = 200  # bytes of what is known of a delivery
_NUMBER = 8
_HEAD = 8  # numbers: heartbeat, condition, finished, last round trip, farewell
_ENDED = "."  # ends the text of a delivery that has ended
FOREVER = float("inf")


class Condition(IntEnum):
    """What a process is doing."""

    STARTING = 0
    READY = 1
    DRAINING = 2
    WORN = 3  # the same, and another one should take its place meanwhile
    EMPTY = 4  # nothing is left to do, and nothing is held any more; it tidies up and leaves


class Entitled(NamedTuple):
    """A consumer, when its lease was renewed last (0: never), and the generation of its connection."""

    id: str
    renewed: float
    generation: int


class Started(NamedTuple):
    """A delivery that has begun: ``<level>-<entry>``, its job's id inside the shard, and the task if that was written."""

    delivery: str
    job: str
    task: str | None


class Page:
    """The page of one process with a section for each of its queues, each with ``seats`` cells."""

    def __init__(self, seats: Sequence[int]) -> None:
        sizes = [CONSUMERS * (2 * _NUMBER + _TEXT) + count * (_NUMBER + _TEXT + _ABOUT) for count in seats]
        self._memory = mmap.mmap(-1, _HEAD * _NUMBER + sum(sizes))
        self._numbers = memoryview(self._memory).cast("d")
        self.sections: list[Section] = []
        start = _HEAD * _NUMBER
        for count, size in zip(seats, sizes, strict=True):
            self.sections.append(Section(self._memory, self._numbers, start, count))
            start += size

    @property
    def heartbeat(self) -> float:
        """When the event loop turned last."""
        return self._numbers[0]

    @property
    def condition(self) -> Condition:
        """What the process says of itself."""
        return Condition(int(self._numbers[1]))

    @condition.setter
    def condition(self, condition: Condition) -> None:
        self._numbers[1] = condition

    @property
    def finished(self) -> int:
        """Deliveries that were settled."""
        return int(self._numbers[2])

    @property
    def answered(self) -> float:
        """When the server answered last."""
        return self._numbers[3]

    @property
    def farewell(self) -> int | None:
        """The exit code that the process announced; None when it did not get as far as to end by itself."""
        said = int(self._numbers[4])
        return said - 1 if said else None

    @farewell.setter
    def farewell(self, code: int) -> None:
        self._numbers[4] = code + 1

    def beat(self, now: float, finished: int, answered: float) -> None:
        """Written by the process, some times a second."""
        self._numbers[0], self._numbers[2], self._numbers[3] = now, finished, answered

    def earliest_deadline(self) -> float:
        """When the first of the running handlers must have ended."""
        return min((section.earliest_deadline() for section in self.sections), default=FOREVER)


class Section:
    """The part of a page that is about one queue."""

    def __init__(self, memory: mmap.mmap, numbers: memoryview[float], start: int, seats: int) -> None:
        self._memory, self._numbers, self._seats = memory, numbers, seats
        self._renewed = start // _NUMBER
        self._generations = self._renewed + CONSUMERS
        self._deadlines = self._generations + CONSUMERS
        self._consumers = (self._deadlines + seats) * _NUMBER
        self._started = self._consumers + CONSUMERS * _TEXT
        self._abouts = self._started + seats * _TEXT
        self._free = list(range(seats - 1, -1, -1))
        for seat in range(seats):
            numbers[self._deadlines + seat] = FOREVER

    def cell(self) -> Cell:
        """A free cell for a seat."""
        seat = self._free.pop()
        start, about = self._started + seat * _TEXT, self._abouts + seat * _ABOUT
        return Cell(self, seat, self._numbers, self._deadlines + seat, self._memory, start, about)

    def give_back(self, seat: int) -> None:
        """A seat is gone."""
        self._free.append(seat)

    def enroll(self, consumer: str, renewed: float) -> None:
        """The process has a new consumer, whose lease began at ``renewed``."""
        slot = next(i for i in range(CONSUMERS) if not self._id(i))
        self._numbers[self._renewed + slot] = renewed
        self._numbers[self._generations + slot] = 0
        self._write_id(slot, consumer)

    def connected(self, consumer: str, generation: int) -> None:
        """The consumer came back on a new connection."""
        for slot in self._slots(consumer):
            self._numbers[self._generations + slot] = generation

    def strike(self, consumer: str) -> None:
        """A consumer is retired."""
        for slot in self._slots(consumer):
            self._write_id(slot, "")

    def entitled(self) -> list[Entitled]:
        """The consumers that the process has."""
        numbers, renewed, generations = self._numbers, self._renewed, self._generations
        found = [
            Entitled(self._id(i), numbers[renewed + i], int(numbers[generations + i]))
            for i in range(CONSUMERS)
        ]
        return [entitled for entitled in found if entitled.id]

    def renewed(self, consumer: str) -> float:
        """When the consumer's lease was renewed last; 0 when it is none of this process."""
        return next((known.renewed for known in self.entitled() if known.id == consumer), 0.0)

    def mark_renewed(self, consumer: str, at: float) -> None:
        """Written by whoever renews: when it asked for it."""
        for slot in self._slots(consumer):
            self._numbers[self._renewed + slot] = at

    def started(self) -> list[str]:
        """The deliveries that have begun and not ended, as ``<level>-<entry>``."""
        return [begun.delivery for begun in self.begun()]

    def begun(self) -> list[Started]:
        """The same, with what is known of them."""
        found = [(self._text(self._started + i * _TEXT), i) for i in range(self._seats)]
        return [
            self._described(delivery, seat)
            for delivery, seat in found
            if delivery and not delivery.endswith(_ENDED)
        ]

    def ended(self) -> list[str]:
        """The deliveries that ended last in each seat; they may be settled or not."""
        texts = (self._text(self._started + i * _TEXT) for i in range(self._seats))
        return [text[:-1].rstrip() for text in texts if len(text) > 1 and text.endswith(_ENDED)]

    def earliest_deadline(self) -> float:
        """When the first of the running handlers must have ended."""
        return min(self._numbers[self._deadlines : self._deadlines + self._seats], default=FOREVER)

    def _slots(self, consumer: str) -> list[int]:
        return [slot for slot in range(CONSUMERS) if self._id(slot) == consumer]

    def _described(self, delivery: str, seat: int) -> Started:
        about = self._text(self._abouts + seat * _ABOUT, _ABOUT).split(" ", 2)
        is_of_it = len(about) == 3 and about[0] == delivery
        return Started(*about) if is_of_it else Started(delivery, delivery, None)

    def _id(self, slot: int) -> str:
        return self._text(self._consumers + slot * _TEXT)

    def _write_id(self, slot: int, consumer: str) -> None:
        at = self._consumers + slot * _TEXT
        self._memory[at : at + _TEXT] = consumer.encode()[:_TEXT].ljust(_TEXT)

    def _text(self, at: int, size: int = _TEXT) -> str:
        return self._memory[at : at + size].strip(b" \0").decode("utf-8", "replace")


class Cell:
    """What one seat says of itself."""

    __slots__ = ("_about", "_deadline", "_end", "_memory", "_numbers", "_seat", "_section", "_start")

    def __init__(
        self,
        section: Section,
        seat: int,
        numbers: memoryview[float],
        deadline: int,
        memory: mmap.mmap,
        start: int,
        about: int,
    ) -> None:
        self._section, self._seat, self._about = section, seat, about
        self._numbers, self._deadline = numbers, deadline
        self._memory, self._start, self._end = memory, start, start + _TEXT

    def start(self, delivery: bytes) -> None:
        """A delivery has begun here."""
        if len(delivery) < _TEXT - 1:
            self._memory[self._start : self._end] = delivery.ljust(_TEXT)

    def describe(self, delivery: bytes, job: bytes, task: bytes) -> None:
        """What is known of the delivery that begins here; it counts for no other one."""
        self._memory[self._about : self._about + _ABOUT] = (b"%b %b %b" % (delivery, job, task))[
            :_ABOUT
        ].ljust(_ABOUT)

    def until(self, deadline: float) -> float:
        """It must have ended by then. Returns the deadline."""
        self._numbers[self._deadline] = deadline
        return deadline

    def clear(self) -> None:
        """Nothing runs here. What ended stays readable: it may not be settled yet."""
        self._numbers[self._deadline] = FOREVER
        self._memory[self._end - 1] = ord(_ENDED)

    def close(self) -> None:
        """The seat is gone; its cell may serve another."""
        self.clear()
        self._section.give_back(self._seat)
