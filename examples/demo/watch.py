"""Watching the demo's queues until all is done: a live view in a terminal, a line a second elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from jobs import app
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

QUEUES = ("pictures", "texts")
ENDINGS = ("completed", "dead", "cancelled")
PLACES = ("pending", "active", "delayed")
LOOKS_A_SECOND = 5


class DemoFailed(Exception):
    """The demo cannot go on."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counters of each queue at a moment, and the tasks that run then."""

    seconds: float
    queues: Mapping[str, Mapping[str, int]]
    running: tuple[str, ...]

    @classmethod
    def take(cls, seconds: float) -> Snapshot:
        """Look at the queues; two calls for each, both read-only."""
        queues = {}
        running: list[str] = []
        for name in QUEUES:
            stats = app.run(app.queue(name).stats())
            queues[name] = {place: int(stats[place]) for place in ("enqueued", *PLACES, *ENDINGS)}
            running += [
                job.fields["task"] for job in app.run(app.queue(name).list_jobs("active", count=8)).jobs
            ]
        return cls(seconds, queues, tuple(running))

    def total(self, *places: str) -> int:
        """The sum of these counters over all queues."""
        return sum(queue[place] for queue in self.queues.values() for place in places)

    @property
    def ended(self) -> int:
        """How many jobs have come to an end."""
        return self.total(*ENDINGS)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.total(*PLACES) == 0

    @property
    def rate(self) -> float:
        """Ended jobs a second, since the start."""
        return self.ended / max(self.seconds, 0.1)


def watch(console: Console, check: Callable[[], None], *, seconds: float) -> Snapshot:
    """Show the queues until nothing is left to do; the last look. Calls ``check`` at each look, so that it can raise.

    Raises DemoFailed after ``seconds``.
    """
    start = time.monotonic()
    with (_live if console.is_terminal else _lines)(console) as show:
        while True:
            check()
            snapshot = Snapshot.take(time.monotonic() - start)
            show(snapshot)
            if snapshot.is_over:
                return snapshot
            if snapshot.seconds > seconds:
                raise DemoFailed(f"after {seconds:g} s there is still work: {dict(snapshot.queues)}")
            time.sleep(1 / LOOKS_A_SECOND)


Show = Callable[[Snapshot], None]


@contextmanager
def _lines(console: Console) -> Iterator[Show]:
    last = -1.0

    def show(snapshot: Snapshot) -> None:
        nonlocal last
        if snapshot.seconds - last < 1 and not snapshot.is_over:
            return
        last = snapshot.seconds
        counts = ", ".join(f"{snapshot.total(place)} {place}" for place in (*PLACES, *ENDINGS))
        ended = f"{snapshot.seconds:5.1f} s  {snapshot.ended} of {snapshot.total('enqueued')}"
        console.print(f"{ended}: {counts}", soft_wrap=True)

    yield show


@contextmanager
def _live(console: Console) -> Iterator[Show]:
    with Live(console=console, auto_refresh=False) as live:
        yield lambda snapshot: live.update(_screen(snapshot), refresh=True)


def _screen(snapshot: Snapshot) -> RenderableType:
    table = Table("queue", *(f"{place}" for place in (*PLACES, *ENDINGS)), box=None)
    for column in table.columns[1:]:
        column.justify, column.min_width = "right", 9
    for name, counts in snapshot.queues.items():
        table.add_row(name, *(_number(place, counts[place]) for place in (*PLACES, *ENDINGS)))
    bar = Table.grid()
    bar.add_row(ProgressBar(snapshot.total("enqueued"), snapshot.ended, width=76))
    ended = f"{snapshot.ended} of {snapshot.total('enqueued')} jobs in {snapshot.seconds:.1f} s"
    running = ", ".join(sorted(set(snapshot.running))) or "nothing"
    return Group(
        table, bar, f"{ended}, {snapshot.rate:.0f} a second", Text(f"running: {running}", style="dim")
    )


def _number(place: str, count: int) -> Text:
    style = {"dead": "red", "completed": "green"}.get(place, "") if count else "dim"
    return Text(str(count), style=style)
