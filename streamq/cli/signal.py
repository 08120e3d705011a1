"""``streamq signal``: send signals to jobs, and see who waits for any."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from streamq.cli.arguments import json_or_text
from streamq.cli.command import Noun
from streamq.cli.discovery import queues_named
from streamq.cli.records import jobs_of, show_rows
from streamq.cli.screen import Table
from streamq.cli.session import Session
from streamq.errors import StreamqError
from streamq.protocol.keys import JobId

__all__ = ["signal"]

_KIND = "signal "


@click.group(cls=Noun)
def signal() -> None:
    """Send signals to jobs, and see who waits for any."""


@signal.command()
@click.argument("job_id", metavar="ID")
@click.argument("name")
@click.argument("value", required=False)
@click.option("--replace", is_flag=True, help="Instead of one that was sent before.")
@click.pass_obj
def send(session: Session, job_id: str, name: str, value: str | None, replace: bool) -> int:
    """Send a job a signal: VALUE is JSON where it is JSON, else a text; without one, null.

    It is kept until the job waits for it. The first one of a name stands; then the exit code is 1.
    """
    was_sent = session.any_app.job(job_id).signal(
        name, None if value is None else json_or_text(value), replace=replace
    )
    said = f"{name} was sent to {job_id}" if was_sent else f"{job_id} was sent {name} before; that one stands"
    session.show({"id": job_id, "signal": name, "sent": was_sent}, said)
    return 0 if was_sent else 1


@signal.command("list")
@click.argument("job_id", metavar="ID", required=False)
@click.option("--queue", "queue_name", metavar="NAME", help="Only jobs of this queue.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@click.pass_obj
def list_signals(session: Session, job_id: str | None, queue_name: str | None, limit: int) -> None:
    """List the jobs that wait for a signal or a time; with ID, the signals that were sent to that job."""
    if job_id is not None:
        _show_sent(session, job_id)
        return
    queues = queues_named(session, queue_name)
    rows = [
        row for queue in queues for row in islice(jobs_of(session, queue, "suspended", limit + 1), limit + 1)
    ]
    now = int(session.run(queues[0].stats())["now"]) if queues else 0
    show_rows(session, rows, limit, now, "nobody waits for a signal")


def _show_sent(session: Session, job_id: str) -> None:
    queue, local = session.place(job_id)
    task = session.run(queue.job(local)).get("task", "")
    sent = {
        field.removeprefix(_KIND): _opened(session, job_id, task, field, body)
        for field, body in session.run(queue.journal(local)).items()
        if field.startswith(_KIND)
    }
    rows = [(name, repr(value)) for name, value in sent.items()]
    session.show({"id": job_id, "signals": sent}, Table(("signal", "value"), rows, "none was sent to it"))


def _opened(session: Session, job_id: str, task: str, field: str, body: bytes) -> Any:
    where = JobId.parse(job_id)
    try:
        return session.payloads.unpack_noted(where.queue, task, field, body, Any, where.local)
    except StreamqError as error:
        return f"({error})"
