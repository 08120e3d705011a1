"""What kind of world a seed makes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The weather of a world; everything but ``CALM`` has a faulty network, stops, kills and clock steps."""

    CALM = "calm"  # no faults, and a strict bound on oversleep
    FAULTS = "faults"
    QUIET = "quiet"  # one worker, few jobs
    LONELY = "lonely"  # hosts without supervisors
    RESTART = "restart"  # the server is killed and started again on its append-only file
    FAILOVER = "failover"  # a stale copy takes over


DURATIONS = (5, 40, 120, 300, 5, 40, 120, 2_000)  # of jobs, ms
WIDTHS = ((3, 2), (1, 0), (2, 1))  # slots, and deliveries that wait beside them
KINDS = (Kind.FAULTS, Kind.CALM, Kind.RESTART, Kind.LONELY, Kind.FAILOVER, Kind.QUIET)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The parameters of a world. Times in ms."""

    seed: int
    kind: Kind
    workers: int
    slots: int  # deliveries that a worker runs at once
    ahead: int  # deliveries that wait beside them
    durations: tuple[int, ...]
    pause_between_batches: int  # the longest, between two calls of a producer's channel
    surges: bool
    delayed: float  # the share of jobs that are due later
    between_kills: tuple[int, int]
    unseen: float  # the share of deaths that no supervisor sees
    poison: float  # the share of jobs that kill their worker
    one_by_one: bool  # levels are compared before each delivery, so that the bound on overtaking is exact
    duration: int

    @classmethod
    def of(cls, seed: int, duration: int | None = None) -> Scenario:
        """The world of a seed; ``duration`` is how long producers produce."""
        kind = KINDS[seed % len(KINDS)]
        quiet = kind is Kind.QUIET
        sleepy = kind is Kind.CALM and seed % 4 == 1
        slots, ahead = (1, seed // len(KINDS) % 2) if quiet else WIDTHS[seed // len(KINDS) % len(WIDTHS)]
        return cls(
            seed=seed,
            kind=kind,
            workers={Kind.QUIET: 1, Kind.CALM: 8}.get(kind, 4),
            slots=slots,
            ahead=ahead,
            durations=(*DURATIONS, 13_000, 13_000) if quiet else DURATIONS,
            pause_between_batches=16_000 if quiet or sleepy else 8_000 if kind is Kind.CALM else 4_000,
            surges=seed % 4 != 1,
            delayed=0.7 if sleepy else 0.25,
            between_kills=(4_000, 20_000) if quiet else (500, 6_000),
            unseen=0.8 if quiet else 0.4,
            poison={Kind.CALM: 0.0, Kind.QUIET: 0.02}.get(kind, 0.006),
            one_by_one=seed // len(KINDS) % 2 == 0,
            duration=duration or (20_000 if kind is Kind.CALM else 60_000),
        )

    @property
    def faulty(self) -> bool:
        return self.kind is not Kind.CALM

    @property
    def supervised(self) -> bool:
        return self.kind is not Kind.LONELY

    @property
    def durable(self) -> bool:
        """Whether the server needs an append-only file."""
        return self.kind is Kind.RESTART
