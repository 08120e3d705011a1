"""The times of schedules: what an expression means, shown and examined without a server; and schedules found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import click

from streamq.cli.command import Verb
from streamq.cli.discovery import queues_named
from streamq.cli.enqueue import moment_of
from streamq.cli.screen import Table
from streamq.cli.session import Session
from streamq.errors import ConfigError, ScheduleNotFound

if TYPE_CHECKING:
    from streamq.schedule import Schedule
    from streamq.schedules import Timetable
    from streamq.ticks.planning import Times

__all__ = ["found_schedule", "lint", "preview", "timing_options"]

F = TypeVar("F", bound=Callable[..., Any])


def _moment(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    return None if value is None else moment_of(option.name or "", value)


_OPTIONS = (
    click.option("--zone", metavar="ZONE", help="As in Europe/Rome, where WHEN names none.  [UTC]"),
    click.option(
        "--gap", type=click.Choice(["shift", "skip"]), help="For times that the clock skips.  [shift]"
    ),
    click.option(
        "--fold", type=click.Choice(["first", "last", "both"]), help="For those that come twice.  [first]"
    ),
    click.option("--start", callback=_moment, metavar="TIME", help="Not before."),
    click.option("--end", callback=_moment, metavar="TIME", help="Not after."),
    click.option(
        "--blackout",
        "blackouts",
        multiple=True,
        metavar="TIMES",
        help='Not then, as "25 december" or "weekends"; can be repeated.',
    ),
)


def timing_options(command: F) -> F:
    """The options that say, beside an expression, when something runs."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def found_schedule(session: Session, name: str, queue_name: str | None) -> Schedule:
    """The schedule of that name, in whatever queue. Raises ScheduleNotFound, and ConfigError where several have the name."""
    from streamq.protocol.schedules import read

    app = session.any_app
    queues = [queue for queue in queues_named(session, queue_name) if queue.shard is None]
    having = [queue.name for queue in queues if session.run(read(queue.anchor, 0, [name])).found]
    if not having:
        where = f"queue {queue_name}" if queue_name else f"namespace {session.config.namespace}"
        raise ScheduleNotFound(f'there is no schedule {name} in {where}; "streamq schedule list" shows all')
    if len(having) > 1:
        raise ConfigError(f"several queues have a schedule {name}: say --queue, one of {', '.join(having)}")
    return app.schedules.named(name, having[0])


@click.command(cls=Verb)
@click.argument("when", metavar="WHEN", required=False)
@click.option("--name", metavar="NAME", help="That schedule on the server, instead of WHEN.")
@click.option("--count", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--from", "first", metavar="TIME", help="Begin there instead of now.")
@timing_options
@click.pass_obj
def preview(
    session: Session, /, when: str | None, name: str | None, count: int, first: str | None, **given: Any
) -> None:
    """Show the next times of an expression. It needs no server."""
    now = moment_of("from", first) if first else datetime.now(UTC)
    times = _times(session, when, name, given)
    zone = ZoneInfo(getattr(times.timetable, "zone", "UTC"))
    found = list(_following(times, now, count))
    rows = [
        _row(moment.astimezone(zone), before) for moment, before in zip(found, [None, *found], strict=False)
    ]
    document = {
        "words": times.timetable.words(),
        "expression": times.timetable.written,
        "times": [moment.isoformat() for moment in found],
    }
    shown = Table(("time", "in UTC", ""), rows) if rows else "it never runs"
    session.show(document, times.timetable.words(), shown)


@click.command(cls=Verb)
@click.argument("when", metavar="WHEN", required=False)
@click.option("--name", metavar="NAME", help="That schedule on the server, instead of WHEN.")
@timing_options
@click.pass_obj
def lint(session: Session, /, when: str | None, name: str | None, **given: Any) -> int:
    """Say what may surprise about an expression, a schedule, or all schedules. Exit code 1: something may."""
    now = datetime.now(UTC)
    if when is None and name is None:
        found = _lint_all(session, now)
    else:
        found = {name or when or "": _times(session, when, name, given).timetable.lint(now)}
    rows = [(about, finding) for about, findings in found.items() for finding in findings]
    session.show(found, Table(("schedule", "finding"), rows, "nothing to say"))
    return int(bool(rows))


def _times(session: Session, when: str | None, name: str | None, given: Mapping[str, Any]) -> Times:
    from streamq.declaring import times_of

    if (when is None) == (name is None):
        raise click.UsageError("Give either WHEN or --name.")
    if name is not None:
        return found_schedule(session, name, None).times()
    return times_of(
        "preview", when or "", datetime.now(UTC), {word: value for word, value in given.items() if value}
    )


def _following(times: Times, moment: datetime, count: int) -> Iterator[datetime]:
    for _ in range(count):
        found = times.after(moment)
        if found is None:
            return
        yield found
        moment = found


def _row(local: datetime, before: datetime | None) -> tuple[str, str, str]:
    changed = before is not None and before.astimezone(local.tzinfo).utcoffset() != local.utcoffset()
    said = f"{local:%a %Y-%m-%d %H:%M:%S %z}"
    return said, f"{local.astimezone(UTC):%Y-%m-%d %H:%M:%S}", "the clock has changed" if changed else ""


def _lint_all(session: Session, now: datetime) -> dict[str, list[str]]:
    app, found = session.any_app, dict[str, list[str]]()
    for queue in queues_named(session):
        for info in app.schedules.list(queue.name):
            findings = _findings(app.schedules.named(info.name, info.queue), now)
            if session.has_app and info.task not in app.tasks:
                findings.append(f"the App has no task {info.task}")
            if findings:
                found[f"{info.queue}/{info.name}"] = findings
    return found


def _findings(schedule: Schedule, now: datetime) -> list[str]:
    try:
        timetable: Timetable = schedule.times().timetable
    except ConfigError as error:
        return [str(error)]
    return timetable.lint(now)
