"""``streamq dead``: the jobs that gave up, with their reasons."""

from __future__ import annotations

from collections.abc import Sequence

import click

from streamq.cli.command import Noun
from streamq.cli.discovery import queues_named
from streamq.cli.records import dead_of, show_job, show_rows
from streamq.cli.retrying import retry_jobs
from streamq.cli.session import Session
from streamq.cli.words import counted

__all__ = ["dead"]

_MANY = 100_000
_queue_option = click.option("--queue", "queue_name", metavar="NAME", help="Only this queue.")
_task_option = click.option("--task", metavar="NAME", help="Only jobs of this task.")
_error_option = click.option("--error", metavar="TEXT", help="Only jobs with this in their error.")
_reason_option = click.option("--reason", metavar="TEXT", help="Only jobs that gave up for this reason.")


@click.group(cls=Noun)
def dead() -> None:
    """Look at the jobs that gave up, and run them again or remove them."""


@dead.command("list")
@_queue_option
@_task_option
@_error_option
@_reason_option
@click.option("--limit", type=click.IntRange(1, _MANY), default=50, show_default=True)
@click.pass_obj
def list_dead(
    session: Session,
    queue_name: str | None,
    task: str | None,
    error: str | None,
    reason: str | None,
    limit: int,
) -> None:
    """List dead jobs, the latest first."""
    queues = queues_named(session, queue_name)
    rows = dead_of(session, queues, {"task": task, "error": error, "reason": reason}, limit + 1)
    now = int(session.run(queues[0].stats())["now"]) if queues else 0
    show_rows(session, rows, limit, now, "no dead jobs")


@dead.command()
@click.argument("job_id", metavar="ID")
@click.option("--payload", is_flag=True, help="Show the arguments, decoded.")
@click.pass_obj
def show(session: Session, job_id: str, payload: bool) -> None:
    """Show a dead job with its history and traceback."""
    show_job(session, job_id, payload=payload)


@dead.command()
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@click.option("--set", "changes", metavar="NAME=VALUE", multiple=True, help="Change an argument before.")
@click.option("--all", "everything", is_flag=True, help="All that match, instead of single ones.")
@_queue_option
@_task_option
@_error_option
@_reason_option
@click.pass_obj
def retry(
    session: Session,
    /,
    job_ids: Sequence[str],
    changes: Sequence[str],
    everything: bool,
    **filters: str | None,
) -> None:
    """Run dead jobs again: those named, or --all that match."""
    if everything and job_ids:
        raise click.UsageError(f"--all takes all that match: leave out {job_ids[0]}, or leave out --all.")
    if not everything and not job_ids:
        raise click.UsageError("Name dead jobs, or say --all.")
    if everything and changes:
        raise click.UsageError("--set changes single jobs; name them.")
    if any(filters.values()) and not everything:
        raise click.UsageError("Filters go with --all.")
    if everything:
        _retry_all(session, **filters)
    else:
        retry_jobs(session, job_ids, changes)


@dead.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def drop(session: Session, job_ids: Sequence[str]) -> None:
    """Remove single dead jobs."""
    for job_id in job_ids:
        queue, local = session.place(job_id)
        session.run(queue.drop(local))
    session.show({"dropped": list(job_ids)}, *(f"{job_id} is removed" for job_id in job_ids))


@dead.command()
@_queue_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(session: Session, queue_name: str | None, yes: bool) -> None:
    """Remove all dead jobs of a queue, or of all queues."""
    queues = queues_named(session, queue_name)
    count = sum(int(session.run(queue.stats())["dead"]) for queue in queues)
    session.confirm(f"Remove {counted(count, 'dead job')} of {queue_name or 'all queues'} for ever?", yes)
    removed = sum(session.follow(queue.purge("dead")) for queue in queues)
    session.show({"removed": removed}, f"{counted(removed, 'dead job')} removed")


def _retry_all(session: Session, queue_name: str | None, **wanted: str | None) -> None:
    queues = queues_named(session, queue_name)
    if wanted["error"] and session.config.keys:  # the server cannot read sealed errors
        rows = dead_of(session, queues, wanted, _MANY)
        places = [session.place(row["id"]) for row in rows]
        retried = sum(session.run(queue.retry(local)) for queue, local in places)
    else:
        filters = {name: value for name, value in wanted.items() if value}
        retried = sum(session.follow(queue.retry_all(**filters)) for queue in queues)
    session.show({"retried": retried}, f"{counted(retried, 'job')} put back to run again")
