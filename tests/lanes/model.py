"""What must hold of lanes and limits, computed from the calls and the answers alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from streamq.limits.lanes import keys_of, metered_keys

__all__ = ["Broken", "Job", "Model", "Rule", "age_of"]

NEAR = 1e-6  # tokens


class Broken(AssertionError):
    """A rule was broken."""


class Rule(NamedTuple):
    """What a limit says, as far as the model follows it."""

    rate: float | None = None
    burst: float = 0
    slots: int | None = None
    fails: int | None = None
    ordered: bool = False


@dataclass(slots=True)
class Bucket:
    """A token bucket seen from outside: never less strict than rate x time + burst."""

    tokens: float
    at: int
    rate: float  # the highest since it was looked at last

    def refill(self, mono: int, burst: float, rate: float) -> None:
        """What dripped in since then, by the higher rate where that was changed."""
        self.tokens = min(self.tokens + (mono - self.at) * max(self.rate, rate) / 1000, burst)
        self.at, self.rate = mono, rate


@dataclass(slots=True)
class Job:
    """One job: its lane (with its level), its cost, and where it is."""

    id: str
    lane: str
    cost: float
    where: str = "waiting"  # delayed, running, lost, ended
    due: int = 0
    held: tuple[str, ...] = ()  # keys whose slots it has


def age_of(job: str) -> tuple[int, int]:
    """What orders jobs of one lane."""
    _, ms, seq = job.split("-")
    return int(ms), int(seq)


@dataclass(slots=True)
class Model:
    """Follows all jobs. ``rules``: by key or ``<class>:*``; a key's own come first."""

    rules: dict[str, Rule]
    jobs: dict[str, Job] = field(default_factory=dict)
    waiting: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    buckets: dict[str, Bucket] = field(default_factory=dict)
    running: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    mono: int = 0  # ms that have passed, whatever the clock was set to
    was_set_back: bool = False
    latest: int = 0  # the latest time there was: what was due once stays so when the clock is set back

    def rule(self, key: str) -> Rule:
        """What holds for a key."""
        return self.rules.get(key) or self.rules.get(f"{key.partition(':')[0]}:*") or Rule()

    def enter(self, job: Job) -> None:
        """It was accepted."""
        self.jobs[job.id] = job
        self.waiting[job.lane].add(job.id)

    def passes(self, ms: int, now: int) -> None:
        """Time goes on, or is set back."""
        self.mono += max(0, ms)
        self.was_set_back |= ms < 0
        self.latest = max(self.latest, now)

    def hand_out(self, job_id: str) -> Job:
        """It was given to a worker. Raises Broken."""
        job = self.jobs.get(job_id)
        if job is None or job.where in ("running", "ended"):
            raise Broken(f"{job_id} was handed out though it is {job.where if job else 'unknown'}")
        if job.where != "lost":
            self._admit(job)
        job.where = "running"
        return job

    def leave(self, job: Job, where: str, due: int = 0) -> None:
        """Its delivery is over: it is ``waiting`` again, ``delayed`` or ``ended``."""
        for key in job.held:
            self.running[key].discard(job.id)
        job.held, job.where, job.due = (), where, due
        if where == "waiting":
            self.waiting[job.lane].add(job.id)

    def cancel(self, job: Job) -> None:
        """It waited, and does not any more."""
        self.waiting[job.lane].discard(job.id)
        job.where = "ended"

    def take_tokens(self, key: str, tokens: float, *, at_will: bool = False) -> None:
        """Tokens were given. ``at_will``: without asking, so that a debt may be left. Raises Broken."""
        bucket, rule = self.bucket(key), self.rule(key)
        if not at_will and bucket.tokens + NEAR < min(tokens, rule.burst):
            raise Broken(f"{key} gave {tokens} tokens, and had {bucket.tokens:.3f} of {rule.burst}")
        bucket.tokens = min(bucket.tokens - tokens, rule.burst)

    def bucket(self, key: str) -> Bucket:
        """A key's bucket as of now."""
        rule = self.rule(key)
        assert rule.rate is not None
        bucket = self.buckets.setdefault(key, Bucket(rule.burst, self.mono, rule.rate))
        bucket.refill(self.mono, rule.burst, rule.rate)
        return bucket

    def first(self, lane: str, now: int) -> Job:
        """The job that stands first in a lane, those counted in that have waited for their time and are due."""
        due = (
            job.id
            for job in self.jobs.values()
            if job.lane == lane and job.where == "delayed" and job.due <= now
        )
        return self.jobs[min((*self.waiting[lane], *due), key=age_of)]

    def queues(self, job: Job) -> bool:
        """Whether other lanes wait for tokens of the same key, of which their jobs may need more: then they go first."""
        keys = set(metered_keys(job.lane[2:]))
        others = [lane for lane, waiting in self.waiting.items() if waiting and lane != job.lane]
        return any(keys & set(metered_keys(lane[2:])) for lane in others)

    def keys(self, job: Job) -> list[tuple[str, float]]:
        """Its keys, each with what it costs there."""
        name = job.lane[2:]
        metered = metered_keys(name)
        return [(key, job.cost if key in metered else 1) for key in keys_of(name)]

    def _admit(self, job: Job) -> None:
        if job.where == "delayed" and self.latest < job.due:
            raise Broken(f"{job.id} was handed out {job.due - self.latest} ms too early")
        self.waiting[job.lane].discard(job.id)
        older = min(self.waiting[job.lane], key=age_of, default=job.id)
        if age_of(older) < age_of(job.id):
            raise Broken(f"{job.id} was handed out before {older} of its lane {job.lane}")
        held = []
        for key, price in self.keys(job):
            rule = self.rule(key)
            if rule.rate is not None:
                self.take_tokens(key, price)
            if rule.slots is not None:
                self.running[key].add(job.id)
                held.append(key)
                if len(self.running[key]) > rule.slots:
                    raise Broken(f"{key} has {rule.slots} slots, and {sorted(self.running[key])} run")
        job.held = tuple(held)
