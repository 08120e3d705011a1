"""What ``streamq top`` shows, read at one moment: queues, tasks, workers, and the latest dead jobs."""

from __future__ import annotations

from dataclasses import dataclass

from streamq.cli.discovery import queues_named, shard_name
from streamq.cli.latency import Figures, figures_of
from streamq.cli.records import Row, dead_of
from streamq.cli.session import Session
from streamq.protocol.inspect import WorkerInfo
from streamq.queue import Queue

__all__ = ["QueueView", "Snapshot", "take_snapshot"]

_SHOWN, _RECENT = 30, 5  # minutes
_DEAD = 5


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue. ``waiting``: in lanes, or for other jobs; ``oldest_ms``: how long the first pending job has waited."""

    name: str
    pending: int
    waiting: int
    active: int
    delayed: int
    dead: int
    paused: bool
    oldest_ms: int
    figures: Figures
    workers: list[WorkerInfo]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment, by the server's clock."""

    now_ms: int
    queues: list[QueueView]
    dead: list[Row]


def take_snapshot(session: Session) -> Snapshot:
    """Ask for everything; four calls a queue."""
    queues = queues_named(session)
    views = [_view(session, queue) for queue in queues]
    latest = dead_of(session, queues, {}, _DEAD)
    return Snapshot(max((now for now, _ in views), default=0), [view for _, view in views], latest)


def _view(session: Session, queue: Queue) -> tuple[int, QueueView]:
    stats = session.run(queue.stats())
    now = int(stats["now"])
    minute = now // 60_000
    minutes = session.run(queue.minutes(minute - _SHOWN + 1, minute))
    return now, QueueView(
        shard_name(queue),
        int(stats["pending"]),
        int(stats["waiting"]),
        int(stats["active"]),
        int(stats["delayed"]),
        int(stats["dead"]),
        stats["paused"] == "1",
        int(stats["oldest_ms"]),
        figures_of(minutes, now, _SHOWN, _RECENT),
        session.run(queue.workers()),
    )
