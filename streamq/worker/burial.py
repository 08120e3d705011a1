"""Burials: what a dead process held is given back, and what may have killed it is named to the server as a suspect.

Suspects run alone from then on, and only a death alone counts against one. They are what ran; what had just ended and
was not settled, because a crash may come late; and what was in the hands of several processes that crashed. There are none
when the process left, or was killed because it should have left. A burial that cannot be done now, because the server is
away, is done later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from streamq.engines.base import Engine
from streamq.errors import StreamqError
from streamq.logger import Logger
from streamq.protocol.consume import RECORD, Row, abandon, adopt
from streamq.protocol.inspect import job
from streamq.worker.child import Child, Death
from streamq.worker.page import Entitled, Section, Started
from streamq.worker.repeats import Repeats
from streamq.worker.rows import deliveries, job_of

__all__ = ["Burials"]

AGAIN = 1.0  # seconds until a burial that failed is tried again
CRASHES = 3  # crashes over a delivery that make it a suspect, although it did not run
REMEMBERED = 10_000  # deliveries whose crashes are counted
NAMED = 1_000  # suspects of one call
POISON = "poison"  # the reason of a dead letter whose handler killed its processes

clock = time.monotonic
Fields = dict[str, str]


class Burials:
    """Those that are due. ``convicted`` is told of a job for which a death was one too many, with the job's fields."""

    def __init__(self, engine: Engine, convicted: Callable[[str, Started, Fields], None]) -> None:
        self._engine, self._convicted = engine, convicted
        self._due: list[Death] = []
        self._not_before = 0.0
        self.have_failed = False  # at the last try; the server is away
        self._crashes: dict[tuple[str, str], int] = {}
        self._failures = Repeats()
        self._log = Logger("streamq.supervisor")

    def __len__(self) -> int:
        return len(self._due)

    def add(self, death: Death) -> None:
        """One more is due."""
        self._due.append(death)
        self.have_failed = False

    def proceed(self, now: float) -> None:
        """Do what is due, unless that failed a moment ago."""
        if now < self._not_before:
            return
        for death in list(self._due):
            try:
                self._bury(death)
            except StreamqError as error:
                self._not_before, self.have_failed = clock() + AGAIN, True
                if times := self._failures.met(now):
                    self._log.warning(
                        "worker.jobs_not_given_back_yet", pid=death.child.pid, error=str(error), times=times
                    )
                return
            self._due.remove(death)

    def _bury(self, death: Death) -> None:
        for anchor, section in zip(death.child.anchors, death.child.page.sections, strict=True):
            for entitled in section.entitled():
                self._give_back(death, anchor, section, entitled)
                section.strike(entitled.id)

    def _give_back(self, death: Death, anchor: str, section: Section, entitled: Entitled) -> None:
        child = death.child
        held = self._held(anchor, entitled)
        named = set() if death.is_blameless else self._named(death, anchor, section, held)
        suspects = [held[delivery] for delivery in held if delivery in named][:NAMED]
        deliveries = [suspect.delivery for suspect in suspects]
        call = abandon(anchor, 0, entitled.id, alone=child.alone, how=death.why, suspects=deliveries)
        moved = self._engine.run(call)
        child.suspects += [(anchor, suspect) for suspect in suspects]
        self._log.info("worker.jobs_given_back", pid=child.pid, moved=moved, suspects=len(suspects))
        if child.alone:
            self._look_for_convicts(child)

    def _named(self, death: Death, anchor: str, section: Section, held: Mapping[str, Started]) -> set[str]:
        """The deliveries that may have killed it."""
        spared = death.child.alone or death.was_killed
        crashed = set() if spared else self._crashed_again(anchor, held)
        return {*section.started(), *section.ended(), *crashed}

    def _held(self, anchor: str, entitled: Entitled) -> dict[str, Started]:
        """What the server says the dead one owned. The generation is its supervisor's (see rescue)."""
        owned = self._engine.run(adopt(anchor, 0, entitled.id, entitled.generation + 1)).groups
        found = [_described(level, row) for level, rows in deliveries(owned) for row in rows]
        return {one.delivery: one for one in found}

    def _crashed_again(self, anchor: str, held: Mapping[str, Started]) -> set[str]:
        """Count one more crash over all that was held; those for which it was one too many."""
        for delivery in held:
            key = (anchor, delivery)
            self._crashes[key] = self._crashes.pop(key, 0) + 1
        for oldest in list(self._crashes)[:-REMEMBERED]:
            del self._crashes[oldest]
        return {delivery for delivery in held if self._crashes.get((anchor, delivery), 0) >= CRASHES}

    def _look_for_convicts(self, child: Child) -> None:
        for anchor, suspect in child.suspects:
            fields = self._engine.run(job(anchor, 0, suspect.job))
            if fields.get("reason") == POISON:
                self._convicted(anchor, suspect, fields)


def _described(level: bytes, row: Row) -> Started:
    entry, task, value = row
    delivery = f"{level.decode()}-{entry.decode()}"
    if task == RECORD:
        return Started(delivery, value[0].decode(), value[1].decode("utf-8", "replace"))
    return Started(delivery, job_of(level, entry).decode(), task.decode("utf-8", "replace"))


def suspects_of(death: Death) -> list[tuple[str, Started]]:
    """What may have killed it, as far as that is known by now."""
    if death.is_blameless:
        return []
    return death.child.suspects or death.child.running
