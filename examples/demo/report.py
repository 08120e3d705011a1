"""What happened in the demo: counts, times, dead letters with their reasons, and whether all is as it should be."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from files import Files
from jobs import app
from pictures import Picture
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from watch import QUEUES
from work import DELAY, WIDTHS, Work, thumbnail_of

from streamq.cli.latency import Figures, figures_of
from streamq.protocol.inspect import Listed

Verdict = tuple[bool, str]
COUNTERS = ("enqueued", "completed", "dead", "cancelled")


def show_report(console: Console, files: Files, work: Work, graceful: bool) -> bool:
    """Print everything; whether all is as it should be. ``graceful``: the workers ended as they should."""
    dead = [job for queue in QUEUES for job in app.run(app.queue(queue).list_jobs("dead")).jobs]
    console.print(_counts(), "", _times(), sep="\n")
    console.print("", *map(_dead_letter, dead), "", sep="\n", soft_wrap=True)
    verdicts = [
        *_made(files),
        *_jobs(files, work, {job.id for job in dead}),
        *_balance(),
        (graceful, "the workers finished and left when they were told to"),
    ]
    for right, sentence in verdicts:
        console.print(
            f"[green]yes[/]  {sentence}" if right else f"[bold red]NO[/]   {sentence}", soft_wrap=True
        )
    return all(right for right, _ in verdicts)


def _counts() -> Table:
    """What became of the jobs of each queue, by the exact counters of the server."""
    table = _table("queue", *COUNTERS)
    for name in QUEUES:
        stats = app.run(app.queue(name).stats())
        table.add_row(name, *(stats[counter] for counter in COUNTERS))
    return table


def _times() -> Table:
    """Waiting and running times of each task, from the statistics that workers keep.

    They lack the last second of a process that died, so they are not what jobs are counted by.
    """
    table = _table("task, in ms", "wait p50", "p95", "run p50", "p95")
    for name in QUEUES:
        for task in _figures(name).tasks:
            times = [task.wait.p50, task.wait.p95, task.run.p50, task.run.p95]
            table.add_row(task.task, *map(_shown, times))
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(first, *numbers, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _figures(name: str) -> Figures:
    queue = app.queue(name)
    now = int(app.run(queue.stats())["now"])
    minutes = app.run(queue.minutes(now // 60_000 - 5, now // 60_000))
    return figures_of(minutes, now, 5, 5)


def _shown(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:,.1f}"


def _dead_letter(job: Listed) -> str:
    reason, error = job.fields.get("reason", ""), job.fields.get("error", "")
    return f"[red]dead[/] {job.id}  {job.fields['task']}: {escape(reason)} ({escape(error)})"


def _made(files: Files) -> Iterator[Verdict]:
    sizes: dict[int, int] = defaultdict(int)
    for width in WIDTHS:
        for picture in files.pictures:
            path = thumbnail_of(files, picture, width)
            sizes[width] += path.exists() and Picture.read_png(path).width == width
    right = all(sizes[width] == len(files.pictures) for width in WIDTHS)
    yield right, f"{sum(sizes.values())} thumbnails of {len(files.pictures)} pictures, all of the right width"
    counted = len(list(files.made.glob("*.json")))
    yield counted == len(files.texts), f"the words of {counted} of {len(files.texts)} texts are counted"


def _jobs(files: Files, work: Work, dead: set[str]) -> Iterator[Verdict]:
    paths = (*files.pictures, *files.texts)
    right = sum(job.result(5) == _sha(path) for job, path in zip(work.checksums, paths, strict=True))
    yield right == len(paths), f"{right} of {len(paths)} checksums are right, read from their kept results"
    failed = {_local(job.id) for job in work.damaged}
    yield failed < dead, f"{len(failed)} damaged pictures are dead letters, after 3 attempts each"
    yield (
        dead - failed == {_local(work.crash.id)},
        "the job that kills its process is a dead letter, and no innocent one",
    )
    yield (files.made / "note.txt").exists(), f"the job that was delayed by {DELAY} s has run"
    yield len(work.unique) == 1, "three enqueues with one unique key made one job"
    cancelled = app.run(app.queue("texts").stats())["cancelled"]
    yield cancelled == "1", "the job that was cancelled has not run"


def _balance() -> Iterator[Verdict]:
    for name in QUEUES:
        balance = app.run(app.queue(name).conservation())
        terms = ", ".join(f"{count} {part}" for part, count in balance.parts.items() if count)
        yield balance.difference == 0, f"{name}: every job is accounted for ({terms})"


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _local(job: str) -> str:
    return job.split("-", 1)[1]
