"""The states of a job, and every move that is allowed between them: one table for code, tests and diagrams."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FINAL", "MOVES", "State"]


class State(StrEnum):
    """Where a job is, in the words that people read."""

    SCHEDULED = "scheduled"  # due later, never run
    WAITING = "waiting"  # in a lane, behind a gate or another job, or for the outside
    PENDING = "pending"  # in a ready stream
    ACTIVE = "active"  # delivered to a worker
    RETRYING = "retrying"  # ran, and will run again when it is due
    COMPLETED = "completed"
    DEAD = "dead"  # gave up; in the dead letters
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # its condition was false
    EXPIRED = "expired"  # too late: not begun, or not to be finished, in time


_REVIVED = frozenset({State.PENDING, State.WAITING})  # a job of a flow that is run again

MOVES: dict[State, frozenset[State]] = {
    State.SCHEDULED: frozenset({State.PENDING, State.CANCELLED, State.EXPIRED}),
    State.WAITING: frozenset({State.PENDING, State.SCHEDULED, State.CANCELLED, State.EXPIRED, State.SKIPPED}),
    State.PENDING: frozenset({State.ACTIVE, State.SCHEDULED, State.CANCELLED, State.EXPIRED}),
    State.ACTIVE: frozenset(
        {
            State.COMPLETED,
            State.RETRYING,
            State.WAITING,
            State.DEAD,
            State.CANCELLED,
            State.PENDING,
            State.EXPIRED,
            State.SKIPPED,
        }
    ),
    State.RETRYING: frozenset({State.PENDING, State.CANCELLED, State.EXPIRED}),
    State.COMPLETED: frozenset(),
    State.DEAD: frozenset({State.PENDING, State.WAITING, State.CANCELLED}),
    State.CANCELLED: _REVIVED,
    State.SKIPPED: _REVIVED,
    State.EXPIRED: _REVIVED,
}

FINAL = frozenset({State.COMPLETED, State.DEAD, State.CANCELLED, State.SKIPPED, State.EXPIRED})
