"""``streamq test``: sends jobs through the whole of it, a server and a real worker, and says how they fared."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamq.cli.command import Verb
from streamq.cli.screen import Fields
from streamq.cli.session import Session
from streamq.cli.words import amount
from streamq.errors import StreamqError

if TYPE_CHECKING:
    from streamq.queue import Queue
    from streamq.task import Call

__all__ = ["test"]

_EVERY = 0.1  # seconds between two looks at the counters
_PATIENCE = 60.0  # seconds without any job that ends, after which something is wrong
_ENDED = ("completed", "dead")
_FLAKY, _HOPELESS, _SLOW = 10, 50, 4  # every n-th job is one of these


class TrialFailed(StreamqError):
    """Not all jobs of the trial ended as they should."""


@click.command(cls=Verb)
@click.option("--jobs", "count", type=click.IntRange(1, 1_000_000), default=1_000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes.")
@click.pass_obj
def test(session: Session, count: int, workers: int) -> None:
    """Put test jobs in, run them in a worker of their own, and show how they fared.

    They go through the queue streamq-test, which is emptied before and afterwards.
    """
    from streamq.cli.trial_app import QUEUE, app

    app.config = session.config
    queue = app.queue(QUEUE)
    _empty(session, queue)
    before = _ended(session, queue)
    began = time.monotonic()
    app.enqueue_many([_call(number) for number in range(count)])
    enqueued = time.monotonic()
    with _worker(session, workers) as worker:
        ended = _watch(session, queue, before, count, worker)
    _empty(session, queue)
    _show(session, count, ended, enqueued - began, time.monotonic() - enqueued)


def _empty(session: Session, queue: Queue) -> None:
    for what in ("pending", "delayed", "dead"):
        session.follow(queue.purge(what))


def _call(number: int) -> Call[Any]:
    from streamq.cli.trial_app import checksum, flaky, hopeless, pause

    if _is_hopeless(number):
        return hopeless.call()
    if number % _FLAKY == _FLAKY - 1:
        return flaky.call()
    return pause.call(number % 20) if number % _SLOW == 0 else checksum.call(number)


def _is_hopeless(number: int) -> bool:
    return number % _HOPELESS == _HOPELESS - 1


@contextmanager
def _worker(session: Session, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker, ended as one ends it: by SIGTERM. The end of its log is shown when it fails."""
    url = session.config.url or f"embedded://{session.config.data_folder}"
    command = [sys.executable, "-m", "streamq.cli", "work", "streamq.cli.trial_app"]
    command += ["--workers", str(workers), "--namespace", session.config.namespace, "--url", url]
    with tempfile.TemporaryDirectory(prefix="streamq-test-") as folder:
        log = Path(folder) / "worker.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603 - ourselves
        try:
            yield process
        finally:
            process.terminate()
            process.wait()
        if process.returncode:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            raise TrialFailed(f"the worker ended with {process.returncode}: {last}")


def _watch(
    session: Session, queue: Queue, before: dict[str, int], count: int, worker: subprocess.Popen[bytes]
) -> dict[str, int]:
    """Show how far it is until all jobs have ended, or nothing moves any more; how many ended in which way."""
    from rich.console import Console
    from rich.progress import Progress

    hidden = bool(session.as_json) or not sys.stderr.isatty()
    done, moved = -1, time.monotonic()
    with Progress(console=Console(stderr=True), disable=hidden, transient=True) as progress:
        bar = progress.add_task("running", total=count)
        while True:
            ended = {name: number - before[name] for name, number in _ended(session, queue).items()}
            if sum(ended.values()) != done:
                done, moved = sum(ended.values()), time.monotonic()
            progress.update(bar, completed=done)
            if done >= count or worker.poll() is not None or time.monotonic() - moved > _PATIENCE:
                return ended
            time.sleep(_EVERY)


def _ended(session: Session, queue: Queue) -> dict[str, int]:
    stats = session.run(queue.stats())
    return {name: int(stats[name]) for name in _ENDED}


def _show(session: Session, count: int, ended: dict[str, int], enqueued: float, ran: float) -> None:
    hopeless = sum(map(_is_hopeless, range(count)))
    expected = {"completed": count - hopeless, "dead": hopeless}
    session.show(
        {"jobs": count, **ended, "expected": expected, "enqueue_seconds": enqueued, "run_seconds": ran},
        Fields(
            {
                "put in": f"{amount(count)} jobs in {enqueued:.2f} s ({amount(count / enqueued)}/s)",
                "ran": f"in {ran:.2f} s, the start of the workers included",
                "completed": f"{amount(ended['completed'])} (of {amount(expected['completed'])} that should)",
                "dead": f"{amount(ended['dead'])} (of {amount(expected['dead'])} that should)",
            }
        ),
    )
    if ended != expected:
        raise TrialFailed(
            'some jobs did not end as they should; see "streamq dead list" and "streamq doctor"'
        )
