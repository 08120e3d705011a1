"""Looking, without changing anything. Every call here may go through FCALL_RO, also to a replica."""

from __future__ import annotations

from typing import Any, NamedTuple

from streamq.protocol.call import Call
from streamq.protocol.journal import entries as journal_entries
from streamq.protocol.replies import integer, pairs, parts, text, texts

__all__ = [
    "Balance",
    "Change",
    "Listed",
    "Minute",
    "Page",
    "WorkerInfo",
    "audit",
    "conservation",
    "explain",
    "job",
    "journal",
    "list_jobs",
    "minutes",
    "stats",
    "workers",
]


class Listed(NamedTuple):
    """One job of a list: its local id, and its fields by name."""

    id: str
    fields: dict[str, str]


class Page(NamedTuple):
    """A page of a list, and where the next one starts (empty: this was the last)."""

    next: str
    jobs: list[Listed]


class WorkerInfo(NamedTuple):
    """One consumer: its state, ms left of its lease, ms idle (-1: busy), deliveries, and what it says of itself."""

    consumer: str
    state: str
    lease_ms: int
    idle_ms: int
    active: int
    about: str


class Minute(NamedTuple):
    """The statistics of one minute since 1970."""

    minute: int
    counts: dict[str, int]


class Balance(NamedTuple):
    """``difference`` is 0 when every job that came in is in exactly one place; ``parts`` are the terms."""

    difference: int
    parts: dict[str, int]


class Change(NamedTuple):
    """A line of the audit log: when (ms since 1970), who, what."""

    at_ms: int
    by: str
    what: str


def stats(anchor: str, now: int = 0) -> Call[dict[str, str]]:
    """Counters, depths and switches of a shard, by name."""
    return Call("stats", anchor, (now,), pairs, readonly=True)


def job(anchor: str, now: int, job_id: str) -> Call[dict[str, str]]:
    """The fields of a job by name; empty when it is unknown, or finished and not kept."""
    return Call("job", anchor, (now, job_id), pairs, readonly=True)


def explain(anchor: str, now: int, job_id: str) -> Call[list[str]]:
    """Sentences: first its state, then what it waits for, in order, with times."""
    return Call("explain", anchor, (now, job_id), texts, readonly=True)


def journal(anchor: str, now: int, job_id: str) -> Call[dict[str, bytes]]:
    """The journal of a job by field (``step <name>``, ``signal <name>`` …); empty when it has none."""
    return Call("journal_of", anchor, (now, job_id), journal_entries, readonly=True)


def list_jobs(anchor: str, now: int, what: str, start: str = "-", count: int = 50) -> Call[Page]:
    """A page of a list; docs/protocol.md names them: ``pending``, ``active``, ``delayed``, ``tag:<tag>`` …"""
    return Call("list", anchor, (now, what, start, count), _listed, readonly=True)


def workers(anchor: str, now: int = 0) -> Call[list[WorkerInfo]]:
    """The consumers of a shard."""
    return Call("workers", anchor, (now,), _workers, readonly=True)


def minutes(anchor: str, now: int, first: int, last: int) -> Call[list[Minute]]:
    """The statistics of the minutes ``first`` to ``last`` (at most 120), those that have any."""
    return Call("minutes", anchor, (now, first, last), _minutes, readonly=True)


def conservation(anchor: str, now: int = 0) -> Call[Balance]:
    """Whether the counters agree with each other and with the structures (FAULTS.md, conservation)."""
    return Call("conservation", anchor, (now,), _balance, readonly=True)


def audit(anchor: str, now: int = 0, count: int = 50) -> Call[list[Change]]:
    """What people changed at run time, newest first; at most 1,000 changes are kept."""
    return Call("audit", anchor, (now, count), _changes, readonly=True)


def _changes(reply: Any) -> list[Change]:
    return [_change(line) for line in texts(reply)]


def _change(line: str) -> Change:
    at, _, rest = line.partition(" ")
    by, _, what = rest.partition(": ")
    return Change(integer(at), by, what)


def _listed(reply: Any) -> Page:
    after, *rows = parts(reply, 1)
    return Page(text(after), [_row(row) for row in rows])


def _row(row: Any) -> Listed:
    job, *fields = parts(row, 1)
    return Listed(text(job), pairs(fields))


def _workers(reply: Any) -> list[WorkerInfo]:
    return [_worker(row) for row in parts(reply, 0)]


def _worker(row: Any) -> WorkerInfo:
    consumer, state, lease, idle, active, about = parts(row, 6)[:6]
    return WorkerInfo(
        text(consumer), text(state), integer(lease), integer(idle), integer(active), text(about)
    )


def _minutes(reply: Any) -> list[Minute]:
    return [_minute(row) for row in parts(reply, 0)]


def _minute(row: Any) -> Minute:
    minute, *counts = parts(row, 1)
    return Minute(integer(minute), _numbers(counts))


def _balance(reply: Any) -> Balance:
    difference, *terms = parts(reply, 1)
    return Balance(integer(difference), _numbers(terms))


def _numbers(reply: Any) -> dict[str, int]:
    return {name: integer(value) for name, value in pairs(reply).items()}
