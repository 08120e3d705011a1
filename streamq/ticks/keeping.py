"""The conversations that change schedules: keep one, let one go on, run one apart from its times.

When a schedule is next is computed here, but by the server's clock: each conversation begins by asking for it.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from streamq.errors import LimitExceeded, ScheduleNotFound
from streamq.protocol import Flow
from streamq.protocol import schedules as calls
from streamq.protocol.schedules import Outcome, Schedules, Source
from streamq.ticks.definition import Definition, Stored
from streamq.ticks.planning import ms_of
from streamq.ticks.release import put_at
from streamq.ticks.ticking import Run
from streamq.wire import Payloads

__all__ = ["BACKFILLED_MOST", "backfill", "find", "put", "resume", "run"]

BACKFILLED_MOST = 1000  # times in one backfill: as many as the server remembers of a schedule


def find(anchor: str, now: int, queue: str, name: str) -> Flow[tuple[Stored, int]]:
    """A schedule, and the server's clock. Raises ScheduleNotFound."""
    schedules: Schedules = yield calls.read(anchor, now, [name])
    if name not in schedules.found:
        raise ScheduleNotFound(f"there is no schedule {name} in queue {queue}")
    return Stored(name, queue, schedules.found[name]), schedules.now


def put(anchor: str, now: int, source: Source, definition: Definition) -> Flow[bool]:
    """Keep a schedule; True when it is new. Raises WrongState when its name belongs to somebody else."""
    schedules: Schedules = yield calls.read(anchor, now, [])
    return (yield from put_at(anchor, now, source, definition, schedules.now))


def resume(anchor: str, now: int, queue: str, name: str) -> Flow[bool]:
    """A paused schedule goes on with its next time; those in between are not made up for. Raises ScheduleNotFound."""
    stored, clock = yield from find(anchor, now, queue, name)
    resumed: bool = yield calls.resume(anchor, now, name, stored.times.place_after(clock))
    return resumed


def run(anchor: str, now: int, queue: str, name: str, payloads: Payloads) -> Flow[Run]:
    """A run for this moment, whatever its times and policies say. Raises ScheduleNotFound."""
    stored, clock = yield from find(anchor, now, queue, name)
    return Run(clock, (yield calls.fire(anchor, now, name, clock, stored.job(payloads, clock))))


def backfill(
    anchor: str, now: int, queue: str, name: str, payloads: Payloads, first: datetime, last: datetime
) -> Flow[list[Run]]:
    """A run for each of its times from ``first`` to ``last`` that had none. Repeated, it adds nothing.

    Raises LimitExceeded for more than 1,000 times, and ScheduleNotFound.
    """
    stored, _ = yield from find(anchor, now, queue, name)
    moments = list(islice(stored.times.between(first, last), BACKFILLED_MOST + 1))
    if len(moments) > BACKFILLED_MOST:
        raise LimitExceeded(
            f"schedule {name} has more than {BACKFILLED_MOST:,} times between {first.isoformat()} and "
            f"{last.isoformat()}, and a backfill adds that many at most: do it in parts, the earliest first"
        )
    runs = []
    for moment in map(ms_of, moments):
        outcome: Outcome = yield calls.fire(anchor, now, name, moment, stored.job(payloads, moment))
        runs.append(Run(moment, outcome))
    return runs
