"""What a worker process has in hand, and how its handlers end."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from simulation.settling import Delivery, Settlement

OUTCOMES = ("retry", "snooze", "park", "dead", "release", "cancelled", "done", "ok")
WEIGHTS = (9, 4, 1, 4, 3, 1, 14, 64)


@dataclass(slots=True)
class Run:
    """One delivery in this process."""

    job: str
    plain: bool
    started: bool = False
    asked: bool = False


@dataclass(slots=True)
class Consumer:
    """One registration: what it has, what it is about to say, and whether its connection broke."""

    id: str
    generation: int = 0
    runs: dict[Delivery, Run] = field(default_factory=dict)
    settled: dict[Delivery, Settlement] = field(default_factory=dict)
    sick: bool = False


def settle(delivery: Delivery, run: Run, random: Random, *, producing: bool) -> Settlement:
    """How the handler ended. When nothing more is produced, all succeed, so that the world can come to an end."""
    outcome = random.choices(OUTCOMES, WEIGHTS)[0]
    if run.asked and random.random() < 0.9:
        return Settlement("cancelled", delivery)
    if not producing or outcome == "ok":
        outcome = "ok" if run.plain else "done"
    if outcome in ("retry", "snooze"):
        return Settlement(outcome, delivery, ("delay", random.choice((0, 50, 1500))))
    if outcome == "done":
        result = ("result", f"r{delivery[1]}") if random.random() < 0.8 else ()
        kept = ("ttl", 3_600_000) if random.random() < 0.3 else ()
        return Settlement("done", delivery, (*result, *kept))
    if outcome == "dead":
        return Settlement("dead", delivery, ("reason", "failed", "error", "ValueError: simulated"))
    return Settlement(outcome, delivery)
