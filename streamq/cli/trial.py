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
_WAITING = ("pending", "active", "delayed")
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

    They go through the queue streamq-test, and of those that are meant to fail the dead letters are removed.
    """
    from streamq.cli.trial_app import QUEUE, app

    app.config = session.config
    queue = app.queue(QUEUE)
    before = _counts(session, queue)
    began = time.monotonic()
    app.enqueue_many([_call(number) for number in range(count)])
    enqueued = time.monotonic() - began
    with _worker(session, workers) as worker:
        _watch(session, queue, before, count, worker)
    ran = time.monotonic() - began - enqueued
    after = _counts(session, queue)
    ended = {name: after[name] - before[name] for name in _ENDED}
    session.follow(queue.purge("dead"))
    _show(session, count, ended, enqueued, ran)


def _call(number: int) -> Call[Any]:
    from streamq.cli.trial_app import checksum, flaky, hopeless, pause

    if number % _HOPELESS == _HOPELESS - 1:
        return hopeless.call()
    if number % _FLAKY == _FLAKY - 1:
        return flaky.call()
    return pause.call(number % 20) if number % _SLOW == 0 else checksum.call(number)


@contextmanager
def _worker(session: Session, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker in burst mode; its log goes to a file, whose end is shown when it fails."""
    url = session.config.url or f"embedded://{session.config.data_folder}"
    command = [sys.executable, "-m", "streamq.cli", "work", "streamq.cli.trial_app", "--burst"]
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
) -> None:
    """Show how far it is until the worker has ended, which in burst mode it does when all is done."""
    from rich.console import Console
    from rich.progress import Progress

    hidden = bool(session.as_json) or not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), disable=hidden, transient=True) as progress:
        bar = progress.add_task("running", total=count)
        while worker.poll() is None:
            now = _counts(session, queue)
            progress.update(bar, completed=sum(now[name] - before[name] for name in _ENDED))
            time.sleep(_EVERY)


def _counts(session: Session, queue: Queue) -> dict[str, int]:
    stats = session.run(queue.stats())
    return {name: int(stats[name]) for name in (*_ENDED, *_WAITING)}


def _show(session: Session, count: int, ended: dict[str, int], enqueued: float, ran: float) -> None:
    expected = {"dead": sum(number % _HOPELESS == _HOPELESS - 1 for number in range(count))}
    expected["completed"] = count - expected["dead"]
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
