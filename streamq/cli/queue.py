"""``streamq queue``: what is in the queues, and holding, releasing, emptying and removing them."""

from __future__ import annotations

from typing import Any

import click

from streamq.cli.command import Noun
from streamq.cli.discovery import queues_named, shard_name
from streamq.cli.records import WAITING
from streamq.cli.screen import Fields, Table
from streamq.cli.session import Session
from streamq.cli.words import amount, counted, duration, moment
from streamq.errors import WrongState
from streamq.queue import Queue

__all__ = ["queue"]

_COUNTS = ("pending", "waiting", "active", "delayed", "dead", "completed", "workers")


@click.group(cls=Noun)
def queue() -> None:
    """Look at queues, hold them, empty them, remove them."""


@queue.command("list")
@click.pass_obj
def list_queues(session: Session) -> None:
    """List the queues with their depths."""
    found = {shard_name(queue): session.run(queue.stats()) for queue in queues_named(session)}
    rows = [
        (name, *(amount(int(stats[count])) for count in _COUNTS), _oldest(stats), _state(stats))
        for name, stats in found.items()
    ]
    session.show(
        [{"queue": name, **_numbers(stats)} for name, stats in found.items()],
        Table(
            ("queue", *_COUNTS, "oldest", "state"),
            rows,
            f"no queues in namespace {session.config.namespace!r}",
        ),
    )


@queue.command()
@click.argument("name", required=False)
@click.pass_obj
def stats(session: Session, name: str | None) -> None:
    """Show all counters of one queue, or of all."""
    found = {shard_name(queue): session.run(queue.stats()) for queue in queues_named(session, name)}
    views: list[Fields | str] = []
    for shard, numbers in found.items():
        views += ["", Fields({"queue": shard, **numbers})] if views else [Fields({"queue": shard, **numbers})]
    session.show([{"queue": shard, **_numbers(numbers)} for shard, numbers in found.items()], *views)


@queue.command()
@click.argument("name")
@click.option("--note", default="", help="Why, for those who look.")
@click.pass_obj
def pause(session: Session, name: str, note: str) -> None:
    """Give workers nothing more of a queue; what runs goes on."""
    for shard in queues_named(session, name):
        session.run(shard.pause(note))
    session.show({"queue": name, "paused": True}, f"{name} is paused; what runs goes on")


@queue.command()
@click.argument("name")
@click.pass_obj
def resume(session: Session, name: str) -> None:
    """Give workers the jobs of a paused queue again."""
    for shard in queues_named(session, name):
        session.run(shard.resume())
    session.show({"queue": name, "paused": False}, f"{name} goes on")


@queue.command()
@click.argument("name", required=False)
@click.option("--count", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.pass_obj
def audit(session: Session, name: str | None, count: int) -> None:
    """Show who changed what at run time, of one queue or of all, newest first."""
    found = [
        (shard_name(shard), change)
        for shard in queues_named(session, name)
        for change in session.run(shard.audit(count))
    ]
    found.sort(key=lambda each: -each[1].at_ms)
    session.show(
        [{"queue": shard, **change._asdict()} for shard, change in found[:count]],
        Table(
            ("when", "queue", "who", "what"),
            [(moment(change.at_ms), shard, change.by, change.what) for shard, change in found[:count]],
            "nobody has changed anything",
        ),
    )


@queue.command()
@click.argument("name")
@click.option(
    "--what",
    type=click.Choice(["pending", "waiting", "delayed", "dead"]),
    default="pending",
    show_default=True,
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def purge(session: Session, name: str, what: str, yes: bool) -> None:
    """Remove all jobs of a queue that are pending, waiting, delayed or dead."""
    shards = queues_named(session, name)
    count = sum(int(session.run(shard.stats())[what]) for shard in shards)
    session.confirm(f"Remove {counted(count, f'{what} job')} of {name} for ever?", yes)
    parts = WAITING if what == "waiting" else (what,)
    removed = sum(session.follow(shard.purge(part)) for shard in shards for part in parts)
    session.show({"queue": name, "removed": removed}, f"{counted(removed, f'{what} job')} of {name} removed")


@queue.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_obj
def remove(session: Session, names: tuple[str, ...]) -> None:
    """Remove queues that nobody needs any more: those without jobs and workers. Their figures go with them."""
    for name in names:
        for shard in queues_named(session, name):
            _remove(session, shard)
    session.show({"removed": list(names)}, f"{', '.join(names)} removed")


def _remove(session: Session, shard: Queue) -> None:
    try:
        session.run(shard.remove())
    except WrongState as error:
        name = shard_name(shard)
        raise WrongState(f'{name}: {error}. See "streamq queue stats {name}"') from error


def _numbers(stats: dict[str, str]) -> dict[str, Any]:
    return {name: int(value) if value.isdigit() else value for name, value in stats.items()}


def _oldest(stats: dict[str, str]) -> str:
    return duration(int(stats["oldest_ms"])) if int(stats["pending"]) or int(stats["oldest_ms"]) else ""


def _state(stats: dict[str, str]) -> str:
    if stats["paused"] != "1":
        return ""
    note = stats.get("paused_note", "")
    return f"paused: {note}" if note else "paused"
