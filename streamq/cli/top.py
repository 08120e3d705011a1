"""``streamq top``: a live view of queues, tasks, workers and the latest dead jobs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from streamq.cli.command import Verb
from streamq.cli.latency import Latency
from streamq.cli.records import rows_table
from streamq.cli.screen import Table, View, rich_table
from streamq.cli.session import Session
from streamq.cli.snapshot import QueueView, Snapshot, take_snapshot
from streamq.cli.words import amount, duration, moment
from streamq.errors import ServerUnavailable
from streamq.protocol.inspect import WorkerInfo

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["top"]

_WAIT, _RECENT = "wait p50/p95/p99", "last 30 min"
_BARS = " ▁▂▃▄▅▆▇█"


@click.command(cls=Verb)
@click.option("--once", is_flag=True, help="Print it once and end.")
@click.option(
    "--every", type=click.FloatRange(0.1), default=1.0, show_default=True, help="Seconds between two looks."
)
@click.pass_obj
def top(session: Session, once: bool, every: float) -> None:
    """Watch queues, tasks and workers; times and rates are those of the latest minutes."""
    if once or session.as_json:
        snapshot = take_snapshot(session)
        session.show(snapshot, *_spaced([table for table in _tables(snapshot) if table.rows]))
    elif sys.stdout.isatty():
        _watch(session, every)
    else:
        raise click.UsageError("The live view needs a terminal; say --once to print it.")


def _watch(session: Session, every: float) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    first = _drawn(take_snapshot(session), console.width)
    with Live(first, console=console, screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            try:
                live.update(_drawn(take_snapshot(session), console.width), refresh=True)
            except ServerUnavailable as error:  # it may come back
                live.update(f"[red]{error}[/]", refresh=True)


def _drawn(snapshot: Snapshot, width: int) -> Group:
    from rich.console import Group

    title = f"[bold]streamq[/]  {moment(snapshot.now_ms)}  [dim]Ctrl-C ends[/]"
    return Group(title, *(rich_table(table, width) for table in _tables(snapshot) if table.rows))


def _tables(snapshot: Snapshot) -> list[Table]:
    tasks = [row for queue in snapshot.queues for row in _task_rows(queue)]
    workers = [_worker_row(queue, worker) for queue in snapshot.queues for worker in queue.workers]
    return [
        Table(
            (
                "queue",
                "pending",
                "waiting",
                "active",
                "delayed",
                "dead",
                "oldest",
                "jobs/s",
                _WAIT,
                _RECENT,
                "",
            ),
            [_queue_row(queue) for queue in snapshot.queues],
            "no queues",
            leaves=(_RECENT, _WAIT, "oldest", "waiting"),
        ),
        Table(
            ("queue", "task", "ended", _WAIT, "run p50/p95/p99"),
            tasks,
            "no jobs in the last minutes",
            leaves=(_WAIT, "queue"),
        ),
        Table(
            ("queue", "worker", "state", "active", "lease left", "where"),
            workers,
            "no workers",
            leaves=("lease left",),
            flexible="where",
        ),
        replace(
            rows_table(snapshot.dead, snapshot.now_ms, "no dead jobs"),
            leaves=("attempts", "state"),
            flexible="error",
        ),
    ]


def _spaced(tables: Sequence[Table]) -> Iterator[View]:
    """An empty line between two tables."""
    for place, table in enumerate(tables):
        if place:
            yield ""
        yield table


def _queue_row(queue: QueueView) -> tuple[str, ...]:
    return (
        queue.name,
        *(amount(count) for count in (queue.pending, queue.waiting, queue.active, queue.delayed, queue.dead)),
        duration(queue.oldest_ms) if queue.pending or queue.oldest_ms else "",
        f"{queue.figures.rate:,.1f}",
        _quantiles(queue.figures.wait),
        _bars(queue.figures.completed),
        "paused" if queue.paused else "",
    )


def _task_rows(queue: QueueView) -> list[tuple[str, ...]]:
    return [
        (
            queue.name,
            task.task,
            ", ".join(f"{amount(count)} {how}" for how, count in sorted(task.ended.items())),
            _quantiles(task.wait),
            _quantiles(task.run),
        )
        for task in queue.figures.tasks
    ]


def _worker_row(queue: QueueView, worker: WorkerInfo) -> tuple[str, ...]:
    lease = duration(worker.lease_ms) if worker.lease_ms > 0 else "over"
    state = _state(worker, queue.paused)
    return (queue.name, worker.consumer, state, str(worker.active), lease, worker.about)


def _state(worker: WorkerInfo, paused: bool) -> str:
    """What it does, or, of one that may not go on, the server's word for why (docs/protocol.md)."""
    if worker.state != "clean":
        return worker.state
    return "busy" if worker.active else "paused" if paused else "idle"


def _quantiles(latency: Latency) -> str:
    return " / ".join(duration(ms) for ms in (latency.p50, latency.p95, latency.p99) if ms is not None)


def _bars(counts: list[int]) -> str:
    """A bar for every two minutes."""
    pairs = [sum(pair) for pair in zip(counts[::2], counts[1::2], strict=True)]
    most = max(pairs) or 1
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in pairs)
