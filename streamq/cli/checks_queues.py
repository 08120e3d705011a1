"""The examinations of the queues for ``streamq doctor``: workers that are gone, jobs that nobody takes, the balance."""

from __future__ import annotations

from collections.abc import Iterator

from streamq.cli.checks import Finding, Level
from streamq.cli.discovery import queues_named, shard_name
from streamq.cli.session import Session
from streamq.cli.words import counted, duration
from streamq.protocol.schedules import list_schedules
from streamq.queue import Queue

__all__ = ["check_queues"]

OVERDUE_MS = 60_000
MOST_SCHEDULES = 500  # that are looked at, the first due ones


def check_queues(session: Session) -> Iterator[Finding]:
    """All findings of all queues; one line for a queue that is well."""
    queues = queues_named(session)
    if not queues:
        yield Finding(Level.OK, "queues", f"there is none yet in namespace {session.config.namespace!r}")
    for queue in queues:
        bad = [
            *_lost_workers(session, queue),
            *_standstill(session, queue),
            *_overdue(session, queue),
            *_imbalance(session, queue),
        ]
        yield from bad or [Finding(Level.OK, f"queue {shard_name(queue)}", "no job is lost or stuck")]


def _lost_workers(session: Session, queue: Queue) -> Iterator[Finding]:
    """A lease of 0 or less: the consumer did not renew, and nobody has noticed yet."""
    for worker in session.run(queue.workers()):
        if worker.lease_ms <= 0:
            yield Finding(
                Level.WARN,
                f"queue {shard_name(queue)}",
                f"worker {worker.consumer} ({worker.about}) is gone, its lease is over; it holds {counted(worker.active, 'job')}",
                "start a worker: its first take gives them out again",
            )


def _standstill(session: Session, queue: Queue) -> Iterator[Finding]:
    name, stats = shard_name(queue), session.run(queue.stats())
    pending, oldest = int(stats["pending"]) + int(stats["waiting"]), duration(int(stats["oldest_ms"]))
    waiting = f"{counted(pending, 'job')} waiting, the first for {oldest}"
    if pending and stats["paused"] == "1":
        note = stats.get("paused_note") or "no note"
        yield Finding(
            Level.WARN, f"queue {name}", f"it is paused ({note}); {waiting}", f"streamq queue resume {name}"
        )
    elif stats["workers"] == "0" and (pending or stats["active"] != "0"):
        back = counted(int(stats["active"]), "job") + " handed back by workers that are gone"
        what = ", and ".join([*([waiting] if pending else []), *([back] if stats["active"] != "0" else [])])
        yield Finding(
            Level.WARN, f"queue {name}", f"it has no worker; {what}", f"streamq work --queue {name}"
        )


def _overdue(session: Session, queue: Queue) -> Iterator[Finding]:
    """Schedules whose time came long ago: nobody ticks them."""
    page = session.run(list_schedules(queue.anchor, queue.now, count=MOST_SCHEDULES))
    for name, fields in page.found.items():
        late = page.now - int(fields.get("due_at", page.now))
        if late > OVERDUE_MS and "paused" not in fields:
            yield Finding(
                Level.WARN,
                f"queue {shard_name(queue)}",
                f"schedule {name} has been due for {duration(late)}, and no worker ticks it",
                f"start a worker of this queue; streamq schedule explain {name}",
            )


def _imbalance(session: Session, queue: Queue) -> Iterator[Finding]:
    balance = session.run(queue.conservation())
    if balance.difference:
        yield Finding(
            Level.FAIL,
            f"queue {shard_name(queue)}",
            f"its counters and its keys differ by {balance.difference}: somebody else has written to its keys",
            "let a worker run for a minute, which repairs counters; if it stays, report it with the keys",
        )
