"""``streamq strike``: stopping a task, or its jobs with certain arguments, without a deploy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from streamq.cli.arguments import named_words, task_named
from streamq.cli.command import Noun
from streamq.cli.discovery import queues_named, shard_name
from streamq.cli.enqueue import moment_of
from streamq.cli.screen import Table
from streamq.cli.session import Session
from streamq.cli.words import amount, counted, moment
from streamq.errors import ConfigError, StreamqError

if TYPE_CHECKING:
    from streamq.queue import Queue
    from streamq.strikes import Strike

__all__ = ["StrikeNotFound", "strike"]


class StrikeNotFound(StreamqError, LookupError):
    """No strike with that id stands in any queue."""


@click.group(cls=Noun)
def strike() -> None:
    """Stop a task, or those of its jobs whose arguments match, for a time; all workers obey at once."""


@strike.command()
@click.argument("task", metavar="TASK")
@click.option(
    "--where", multiple=True, metavar="NAME=VALUE", help="Only jobs with this argument; can be repeated."
)
@click.option("--for", "for_", metavar="TIME", help="Ends after this time: 30s, 1h30m, 2d.")
@click.option("--until", metavar="TIME", help="Ends then, as in 2026-12-24T18:00 (this machine's zone).")
@click.option("--note", default="", help="Why, for those who look.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="Only in this queue; can be repeated.")
@click.pass_obj
def add(
    session: Session,
    task: str,
    where: Sequence[str],
    for_: str | None,
    until: str | None,
    note: str,
    queues: Sequence[str],
) -> None:
    """Stop a task and print the strike's id.

    Jobs are still put in; those that match wait and run when the strike is over, no attempt is spent. What runs goes on.
    Without --for and --until it lasts until it is removed. With an App, task and arguments are checked.
    """
    from streamq.strikes import NewStrike, check_conditions

    ends = None if until is None else moment_of("until", until)
    conditions = {name: _value(word) for name, word in named_words(where).items()}
    new = NewStrike.of(task, conditions, for_, ends, note)
    if session.has_app:
        check_conditions(task_named(session.app, task), conditions)
    shards = _chosen(session, task, queues)
    for shard in shards:
        session.run(new.on(shard))
    session.show(
        {"id": new.id, "task": task, "where": new.where, "queues": [shard_name(shard) for shard in shards]},
        new.id,
    )


@strike.command("list")
@click.pass_obj
def list_strikes(session: Session) -> None:
    """List the strikes that stand, the latest first."""
    from streamq.strikes import merged

    found = merged((shard_name(shard), session.run(shard.strikes())) for shard in queues_named(session))
    session.show(
        [_document(strike) for strike in found],
        Table(
            ("id", "task", "where", "until", "waiting", "queues", "by", "note"),
            [_row(strike) for strike in found],
            "no strikes",
        ),
    )


@strike.command()
@click.argument("strike_ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def remove(session: Session, strike_ids: Sequence[str]) -> None:
    """Lift strikes: their jobs run."""
    shards = queues_named(session)
    for strike_id in strike_ids:
        _remove(session, shards, strike_id)
    session.show({"removed": list(strike_ids)}, f"{counted(len(strike_ids), 'strike')} removed")


def _remove(session: Session, shards: Sequence[Queue], strike_id: str) -> None:
    from streamq.strikes import somebody

    found = [session.run(shard.unstrike(strike_id, somebody())) for shard in shards]
    if not any(found):
        raise StrikeNotFound(f'there is no strike {strike_id}; "streamq strike list" shows those that stand')


def _chosen(session: Session, task: str, names: Sequence[str]) -> list[Queue]:
    """The queues that are named; else all that there are, and that of the task where the App is known."""
    from streamq.queue import Queue

    namespace = session.config.namespace
    if names:
        return [Queue(name, namespace=namespace) for name in names]
    found = {shard.anchor: shard for shard in queues_named(session)}
    if session.has_app:
        own = Queue(session.app.tasks[task].queue, namespace=namespace)
        found.setdefault(own.anchor, own)
    if not found:
        raise ConfigError(f"there is no queue yet in namespace {namespace!r}: say --queue, or --app")
    return list(found.values())


def _value(word: str) -> Any:
    try:
        return json.loads(word)
    except ValueError:
        return word


def _row(strike: Strike) -> tuple[str, ...]:
    where = " ".join(f"{name}={value}" for name, value in sorted(strike.where.items()))
    until = "" if strike.until is None else moment(strike.until.timestamp() * 1000)
    return (
        strike.id, strike.task, where, until, amount(strike.waiting), ", ".join(strike.queues), strike.by, strike.note,
    )  # fmt: skip


def _document(strike: Strike) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(strike), "until": strike.until and strike.until.isoformat(), "at": strike.at.isoformat()}
