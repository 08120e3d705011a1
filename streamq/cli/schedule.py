"""``streamq schedule``: what runs at set times: putting it in, looking at it, holding it, running it apart from its times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from streamq.cli.command import Noun
from streamq.cli.discovery import queues_named
from streamq.cli.enqueue import moment_of, typed_call
from streamq.cli.schedule_times import found_schedule, lint, preview, timing_options
from streamq.cli.screen import Fields, Table
from streamq.cli.session import Session
from streamq.cli.words import ago, counted, moment
from streamq.errors import ConfigError, ScheduleNotFound

if TYPE_CHECKING:
    from streamq.schedule import ScheduleInfo

__all__ = ["schedule"]

_queue_option = click.option(
    "--queue", "queue_name", metavar="NAME", help="That of its task, where several have the name."
)


@click.group(cls=Noun)
def schedule() -> None:
    """Run tasks at set times: by cron, by intervals, or by words as in "every weekday at 9am Europe/Rome"."""


schedule.add_command(preview)
schedule.add_command(lint)


@schedule.command("list")
@click.option("--queue", "queue_name", metavar="NAME", help="Only those of this queue.")
@click.pass_obj
def list_schedules(session: Session, queue_name: str | None) -> None:
    """List the schedules, and when each runs next."""
    app, now = session.any_app, 0
    infos: list[ScheduleInfo] = []
    for queue in queues_named(session, queue_name):
        now = int(session.run(queue.stats())["now"])
        infos += app.schedules.list(queue.name)
    infos.sort(key=lambda info: (info.next_run_ms is None, info.next_run_ms, info.name))
    rows = [
        (
            info.name,
            info.queue,
            info.task,
            info.words.partition(";")[0],
            _next(info, now),
            _last(info, now),
            _state(info),
        )
        for info in infos
    ]
    headings = ("schedule", "queue", "task", "when", "next", "last", "state")
    session.show([asdict(info) for info in infos], Table(headings, rows, "no schedules"))


@schedule.command()
@click.argument("when", metavar="WHEN")
@click.argument("task", metavar="TASK")
@click.argument("words", metavar="[ARG | NAME=VALUE]...", nargs=-1)
@click.option("--name", metavar="NAME", help="Of the schedule; by default the task's.")
@click.option("--queue", metavar="NAME", help="Where its jobs go; needed where no App is named.")
@timing_options
@click.option(
    "--missed", type=click.Choice(["skip", "latest", "all"]), help="Which late times still run.  [latest]"
)
@click.option("--most", type=int, metavar="N", help="How many late times, with --missed all.")
@click.option("--lateness", metavar="TIME", help="Nothing runs that is later than this.")
@click.option(
    "--overlap",
    type=click.Choice(["allow", "skip", "queue", "cancel"]),
    help="While an earlier run goes on.  [skip]",
)
@click.option("--jitter", metavar="TIME", help="Spread the runs over this time.")
@click.option("--grace", metavar="TIME", help="Alert when a run is not complete this long after its time.")
@click.option("--priority", metavar="0-9", help="Of its jobs; also low, normal, high, critical.")
@click.option("--note", metavar="TEXT", help="What it is for.")
@click.option("--replace", is_flag=True, help="Change the schedule of this name.")
@click.pass_obj
def add(
    session: Session,
    /,
    when: str,
    task: str,
    words: Sequence[str],
    queue: str | None,
    priority: str | None,
    replace: bool,
    **given: Any,
) -> None:
    """Run a task at set times: WHEN is cron, an interval, a date, or words, as "every weekday at 9am Europe/Rome"."""
    level = int(priority) if priority and priority.isdigit() else priority
    options = {name: value for name, value in (("queue", queue), ("priority", level)) if value is not None}
    call = typed_call(session, task, words, options)
    new = session.any_app.schedules.make(when, call, {name: value for name, value in given.items() if value})
    new.source = "cli"
    if not replace:
        _refuse_if_there(new.name, new.queue, session)
    new.put()
    info = new.info()
    said = f"{info.name} runs {info.task} {info.words}"
    following = f"next at {moment(info.next_run_ms)}" if info.next_run_ms else "it has no further time"
    session.show(asdict(info), said, following)


@schedule.command()
@click.argument("name")
@_queue_option
@click.pass_obj
def show(session: Session, name: str, queue_name: str | None) -> None:
    """Show all that is kept of a schedule."""
    info = found_schedule(session, name, queue_name).info()
    session.show(asdict(info), Fields(_shown(info)))


@schedule.command()
@click.argument("name")
@_queue_option
@click.pass_obj
def explain(session: Session, name: str, queue_name: str | None) -> None:
    """Say when it runs next, what its last run came to, and why it does not run, if it does not."""
    lines = found_schedule(session, name, queue_name).explain().split("\n")
    session.show(lines, *lines)


@schedule.command()
@click.argument("name")
@_queue_option
@click.pass_obj
def run(session: Session, name: str, queue_name: str | None) -> None:
    """Run it now, whatever its times and policies say; print the job's id."""
    job = found_schedule(session, name, queue_name).run()
    session.show({"id": job.id}, job.id)


@schedule.command()
@click.argument("name")
@_queue_option
@click.option("--note", default="", help="Why, for those who look.")
@click.pass_obj
def pause(session: Session, name: str, queue_name: str | None, note: str) -> None:
    """Let a schedule make no jobs until it is resumed."""
    found_schedule(session, name, queue_name).pause(note)
    session.show({"schedule": name, "paused": True}, f"{name} is paused")


@schedule.command()
@click.argument("name")
@_queue_option
@click.pass_obj
def resume(session: Session, name: str, queue_name: str | None) -> None:
    """Let a paused schedule go on with its next time; those in between are not made up for."""
    found = found_schedule(session, name, queue_name)
    found.resume()
    following = found.info().next_run_ms
    said = f"{name} goes on at {moment(following)}" if following else f"{name} has no further time"
    session.show({"schedule": name, "paused": False, "next_run_ms": following}, said)


@schedule.command()
@click.argument("name")
@_queue_option
@click.option(
    "--force",
    is_flag=True,
    help="Also one that code declares; it comes back with the next version of the code.",
)
@click.pass_obj
def remove(session: Session, name: str, queue_name: str | None, force: bool) -> None:
    """Remove a schedule. Jobs that it has made stay."""
    found_schedule(session, name, queue_name).remove(force=force)
    session.show({"removed": name}, f"{name} removed")


@schedule.command()
@click.argument("name")
@_queue_option
@click.option(
    "--from", "first", required=True, metavar="TIME", help="As in 2026-12-24T18:00 (this machine's zone)."
)
@click.option("--to", "last", required=True, metavar="TIME", help="The same; both ends belong to it.")
@click.pass_obj
def backfill(session: Session, name: str, queue_name: str | None, first: str, last: str) -> None:
    """Run it for each of its times in between that had no job. Repeated, it adds nothing."""
    found = found_schedule(session, name, queue_name)
    jobs = found.backfill(moment_of("from", first), moment_of("to", last))
    session.show({"schedule": name, "jobs": [job.id for job in jobs]}, f"{counted(len(jobs), 'job')} added")


def _refuse_if_there(name: str, queue: str, session: Session) -> None:
    try:
        info = session.any_app.schedules.named(name, queue).info()
    except ScheduleNotFound:
        return
    raise ConfigError(
        f"there is a schedule {name} ({info.words}); --replace changes it, --name gives another name"
    )


def _next(info: ScheduleInfo, now_ms: float) -> str:
    if info.paused or info.next_run_ms is None:
        return ""
    return f"{moment(info.next_run_ms)} ({ago(info.next_run_ms, now_ms)})"


def _last(info: ScheduleInfo, now_ms: float) -> str:
    return ago(info.last_run_ms, now_ms) if info.last_run_ms else ""


def _state(info: ScheduleInfo) -> str:
    if info.paused:
        return f"paused: {info.paused_note}" if info.paused_note else "paused"
    return "over" if info.next_run_ms is None else info.last_outcome.partition(" ")[0]


def _shown(info: ScheduleInfo) -> dict[str, str]:
    policies = {name: str(value) for name, value in asdict(info.policies).items() if value not in (None, 0.0)}
    times = {"next": info.next_run_ms, "due": info.due_ms, "last": info.last_run_ms, "over": info.over_ms}
    return {
        "schedule": info.name,
        "queue": info.queue,
        "task": info.task,
        "when": info.words,
        "expression": info.expression,
        "put in by": f"code of {info.app}" if info.app else info.source,
        "note": info.note,
        "start": info.start or "",
        "end": info.end or "",
        "not then": ", ".join(info.blackouts),
        "paused": (info.paused_note or "yes") if info.paused else "",
        **{name: moment(ms) if ms else "" for name, ms in times.items()},
        "last job": info.last_job or "",
        "last outcome": info.last_outcome,
        "runs": str(info.runs),
        "skipped": str(info.skipped) if info.skipped else "",
        **policies,
    }
