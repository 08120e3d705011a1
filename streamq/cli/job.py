"""``streamq job``: look at single jobs and steer them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

import click

from streamq.cli.command import Noun
from streamq.cli.discovery import queues_named
from streamq.cli.records import WAITING, jobs_of, show_job, show_rows
from streamq.cli.retrying import retry_jobs
from streamq.cli.session import Session
from streamq.cli.words import without_seals
from streamq.queue import Queue
from streamq.states import State

__all__ = ["job"]

_LISTS = {
    "pending": ("pending",),
    "active": ("active",),
    "waiting": WAITING,
    "scheduled": ("delayed",),
    "retrying": ("delayed",),
    "dead": ("dead",),
}
_ANSWERS = {
    "CANCELLED": "cancelled",
    "ASKED": "runs; its worker was told to stop it",
    "GONE": "has ended already, or never was",
}
_MANY = 100_000


@click.group(cls=Noun)
def job() -> None:
    """Look at jobs, cancel them, run them again."""


@job.command()
@click.argument("job_id", metavar="ID")
@click.option("--payload", is_flag=True, help="Show the arguments and the result, decoded.")
@click.pass_obj
def show(session: Session, job_id: str, payload: bool) -> None:
    """Show what is kept of a job."""
    show_job(session, job_id, payload=payload)


@job.command()
@click.argument("job_id", metavar="ID")
@click.pass_obj
def explain(session: Session, job_id: str) -> int:
    """Say what a job is waiting for, in order; the exit code is 1 when nothing is known of it."""
    queue, local = session.place(job_id)
    sentences = [without_seals(" ".join(sentence.split())) for sentence in session.run(queue.explain(local))]
    session.show({"id": job_id, "state": sentences[0], "because": sentences[1:]}, *_indented(sentences))
    return 1 if sentences[0] == "unknown" else 0


@job.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def cancel(session: Session, job_ids: Sequence[str]) -> int:
    """Stop jobs: at once while they wait, through their worker while they run."""
    answers = {}
    for job_id in job_ids:
        queue, local = session.place(job_id)
        answers[job_id] = session.run(queue.cancel(local))
    session.show(
        {job_id: answer.lower() for job_id, answer in answers.items()},
        *(f"{job_id} {_ANSWERS[answer]}" for job_id, answer in answers.items()),
    )
    return 1 if "GONE" in answers.values() else 0


@job.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def promote(session: Session, job_ids: Sequence[str]) -> None:
    """Run jobs now that wait for a time."""
    for job_id in job_ids:
        queue, local = session.place(job_id)
        session.run(queue.promote(local))
    session.show(dict.fromkeys(job_ids, "promoted"), *(f"{job_id} is ready to run" for job_id in job_ids))


@job.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--set", "changes", metavar="NAME=VALUE", multiple=True, help="Change an argument before.")
@click.pass_obj
def retry(session: Session, job_ids: Sequence[str], changes: Sequence[str]) -> None:
    """Run dead jobs again, their attempts start anew."""
    retry_jobs(session, job_ids, changes)


@job.command("list")
@click.option("--queue", "queue_name", metavar="NAME", help="Only this queue.")
@click.option("--state", type=click.Choice(list(_LISTS)), help="Only jobs in this state.")
@click.option("--tag", help="Only jobs that carry the tag.")
@click.option("--limit", type=click.IntRange(1, _MANY), default=50, show_default=True)
@click.pass_obj
def list_jobs(
    session: Session, queue_name: str | None, state: str | None, tag: str | None, limit: int
) -> None:
    """List jobs that wait, run or gave up."""
    queues = queues_named(session, queue_name)
    lists = [f"tag:{tag}"] if tag else _LISTS[state] if state else dict.fromkeys(chain(*_LISTS.values()))
    found = chain.from_iterable(jobs_of(session, queue, what, _MANY) for queue in queues for what in lists)
    rows = list(islice((row for row in found if state in (None, row["state"])), limit + 1))
    show_rows(session, rows, limit, _now(session, queues), "no such jobs")


def _now(session: Session, queues: Sequence[Queue]) -> int:
    """The server's clock, which all times of jobs mean."""
    return int(session.run(queues[0].stats())["now"]) if queues else 0


def _indented(sentences: Sequence[str]) -> list[str]:
    """The state, and beside it what it waits for, one below the other."""
    state, *because = sentences
    width = max(map(len, State)) + 2
    first, *rest = because or [""]
    return [f"{state.ljust(width)}{first}".rstrip(), *(" " * width + sentence for sentence in rest)]
