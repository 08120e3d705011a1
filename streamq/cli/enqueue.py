"""``streamq enqueue``: put one job in by hand, checked against its task where the App is known."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from inspect import Parameter
from typing import TYPE_CHECKING, Any

import click

from streamq.cli.arguments import call_of, task_named
from streamq.cli.command import Verb
from streamq.cli.screen import json_text
from streamq.cli.session import Session
from streamq.errors import ConfigError, ResultTimeout

if TYPE_CHECKING:
    from streamq.job import Job
    from streamq.task import Call, Task

__all__ = ["enqueue", "moment_of", "typed_call"]


_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class _Enqueue(Verb):
    """Takes words that are no options of ours, and says how to pass those that begin with a dash."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.possibilities:
                raise
            hint = "An argument of the job that begins with a dash stands behind --, as in: charge -- -1"
            raise click.UsageError(f"{error.message} {hint}", ctx) from None


@click.command(cls=_Enqueue)
@click.argument("task_name", metavar="TASK")
@click.argument("words", metavar="[ARG | NAME=VALUE]...", nargs=-1)
@click.option("--queue", metavar="NAME", help="Into this queue; needed where no App is named.")
@click.option("--priority", metavar="0-9", help="9 is most urgent; also low, normal, high, critical.")
@click.option("--delay", metavar="TIME", help="Not before, from now: 30s, 5m, 1h30m.")
@click.option(
    "--at", metavar="TIME", help="Not before, as in 2026-12-24T18:00 (this machine's zone) or with +01:00."
)
@click.option("--unique", metavar="NAME", multiple=True, help="Only one job with this argument at a time.")
@click.option("--expires", metavar="TIME", help="Drop it when it has not started this long after it is due.")
@click.option(
    "--deadline", metavar="TIME", help="Useless when finished later: 5m from now, or 2026-12-24T18:00."
)
@click.option("--attempts", type=int, metavar="N", help="Runs in all, before it is dead.")
@click.option("--timeout", metavar="TIME", help="How long it may run.")
@click.option("--result-ttl", metavar="TIME", help="How long its result is kept.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="For search; can be repeated.")
@click.option("--wait", metavar="TIME", help="Wait for its end, and print its result.")
@click.pass_obj
def enqueue(
    session: Session, /, task_name: str, words: Sequence[str], wait: str | None, **options: Any
) -> None:
    """Put one job in and print its id.

    Arguments are JSON where they are JSON (7, true, [1,2], "7"), else plain text; NAME=VALUE passes one by name. With an
    App they must fit the task.
    """
    job, added = _put_in(typed_call(session, task_name, words, _call_options(**options)))
    if not added:
        click.echo(f"streamq: nothing was added: {job.id} stands for this call", err=True)
    document = {"id": job.id, "added": added}
    if wait is None:
        session.show(document, job.id)
    else:
        result = _awaited(session, job, wait)
        session.show(document | {"result": result}, job.id, json_text(result))


def typed_call(
    session: Session, task_name: str, words: Sequence[str], options: Mapping[str, Any]
) -> Call[Any]:
    """The call of a task that somebody typed. Without an App nothing is checked, and the options must name the queue."""
    if session.has_app:
        task = task_named(session.app, task_name)
        args, kwargs = call_of(words, task)
    else:
        args, kwargs = call_of(words, None)
        task = _unknown_task(session, task_name, len(args), list(kwargs), options.get("queue"))
    using: Any = task.using
    call: Call[Any] = using(**options).call(*args, **kwargs)
    return call


def _put_in(call: Call[Any]) -> tuple[Job[Any], bool]:
    """The job, and whether it is new: one of the same unique key may stand for it."""
    task = call.task
    enqueued = task.sender.send([call.new_job()])
    return task.job(f"{task.queue}-{enqueued.ids[0]}"), not enqueued.existing


def _awaited(session: Session, job: Job[Any], wait: str) -> Any:
    """Its result. When it does not come and no worker could have run it, that is said."""
    try:
        return job.result(wait)
    except ResultTimeout as error:
        queue, _ = session.place(job.id)
        if session.run(queue.workers()):
            raise
        raise ResultTimeout(
            f"{error}. No worker is registered for queue {queue.name}; "
            'start one with "streamq work", as in "streamq work shop"'
        ) from error


def _call_options(
    priority: str | None,
    at: str | None,
    deadline: str | None,
    unique: Sequence[str],
    tags: Sequence[str],
    **plain: Any,
) -> dict[str, Any]:
    """The words of ``task.using`` that were given."""
    from streamq.unique import Unique

    given = {
        **plain,
        "priority": int(priority) if priority and priority.isdigit() else priority,
        "at": moment_of("at", at) if at else None,
        "deadline": moment_of("deadline", deadline) if deadline and _DATE.match(deadline) else deadline,
        "unique": Unique(by=tuple(unique)) if unique else None,
        "tags": list(tags) or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def moment_of(name: str, text: str) -> datetime:
    """A time as it is typed, in this machine's zone unless it names one. Raises ConfigError."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise ConfigError(f"{name}={text!r} is no time; write it like 2026-12-24T18:00") from None


def _unknown_task(
    session: Session, name: str, by_place: int, by_name: list[str], queue: str | None
) -> Task[..., Any]:
    """A task of this name that takes just these arguments: the App that runs it is not here, so nothing is checked."""
    if queue is None:
        raise ConfigError(
            f"no App is named, so --queue must say where {name} goes; with --app the task is checked"
        )

    def absent() -> None:
        raise AssertionError("the App that has this task runs it")

    parameters = [Parameter(f"argument_{place}", Parameter.POSITIONAL_ONLY) for place in range(by_place)]
    parameters += [Parameter(word, Parameter.KEYWORD_ONLY) for word in by_name]
    absent.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads first
    return session.any_app.task(name=name, queue=queue)(absent)
