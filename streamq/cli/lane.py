"""``streamq lane``: who waits in which lane, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import click

from streamq.cli.command import Noun
from streamq.cli.discovery import queues_named, shard_name
from streamq.cli.screen import Table
from streamq.cli.session import Session
from streamq.cli.words import amount, duration
from streamq.protocol import limits as protocol

if TYPE_CHECKING:
    from streamq.protocol.limits import LaneInfo

__all__ = ["lane"]

_LOOKED_AT = 20_000  # lanes of a queue, at most
_QUEUE = click.option("--queue", "queue_name", metavar="NAME", help="Only this queue.")
_ORDERS = {"waiting": lambda each: -each[1].waiting, "oldest": lambda each: -each[1].oldest_ms}


@click.group(cls=Noun)
def lane() -> None:
    """See which tenants, users or accounts wait, and for what."""


@lane.command("list")
@_QUEUE
@click.option("--limit", "most", type=click.IntRange(1, _LOOKED_AT), default=50, show_default=True)
@click.pass_obj
def list_lanes(session: Session, queue_name: str | None, most: int) -> None:
    """List lanes that have jobs, as they come."""
    _show(session, _found(session, queue_name, most), most)


@lane.command()
@_QUEUE
@click.option("--limit", "most", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option(
    "--by",
    "order",
    type=click.Choice(list(_ORDERS)),
    default="waiting",
    show_default=True,
    help="What is first.",
)
@click.pass_obj
def top(session: Session, queue_name: str | None, most: int, order: str) -> None:
    """List the lanes with the most jobs, or the oldest."""
    _show(session, sorted(_found(session, queue_name, _LOOKED_AT), key=_ORDERS[order]), most)


def _found(session: Session, queue_name: str | None, most: int) -> list[tuple[str, LaneInfo]]:
    return [
        (shard_name(shard), info)
        for shard in queues_named(session, queue_name)
        for info in session.follow(protocol.lanes(shard.anchor, 0, most))
    ]


def _show(session: Session, found: Sequence[tuple[str, LaneInfo]], most: int) -> None:
    shown = list(islice(found, most))
    session.show(
        [{"queue": queue, **info._asdict()} for queue, info in shown],
        Table(
            ("queue", "lane", "level", "waiting", "oldest", "weight", "waits for"),
            [
                (
                    queue,
                    info.lane,
                    str(info.level),
                    amount(info.waiting),
                    duration(info.oldest_ms),
                    f"{info.weight:g}",
                    "its turn" if info.where == "ring" else f"limit {info.where}",
                )
                for queue, info in shown
            ],
            "no lane has jobs",
        ),
    )
    if len(found) > most:
        click.echo(f"There are more; --limit {2 * most} shows more of them.", err=True)
