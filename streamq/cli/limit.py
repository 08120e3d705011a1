"""``streamq limit``: the limits of queues, and changing them at once, without a deployment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from streamq.cli.command import Noun
from streamq.cli.discovery import queues_named, shard_name
from streamq.cli.screen import Fields, Table
from streamq.cli.session import Session
from streamq.cli.words import amount, counted, duration
from streamq.errors import ConfigError, StreamqError
from streamq.protocol import limits as protocol

if TYPE_CHECKING:
    from streamq.protocol.limits import LimitInfo
    from streamq.queue import Queue

__all__ = ["LimitNotFound", "limit"]

_QUEUE = click.option("--queue", "queue_name", metavar="NAME", help="Only in this queue.")
_ANY_QUEUE = click.option(
    "--queue", "queue_name", metavar="NAME", help="In this queue; else in all that have the limit."
)


class LimitNotFound(StreamqError, LookupError):
    """No queue has a limit of that name."""


@click.group(cls=Noun)
def limit() -> None:
    """Look at limits, and change them: rates, slots, quotas, weights and breakers."""


@limit.command("list")
@_QUEUE
@click.pass_obj
def list_limits(session: Session, queue_name: str | None) -> None:
    """List limits: what holds, what is left of it, and who waits."""
    shards = queues_named(session, queue_name)
    found = [(shard, info) for shard in shards for info in _limits(session, shard)]
    now = _now(session, shards)
    session.show(
        [{"queue": shard_name(shard), **info._asdict()} for shard, info in found],
        Table(
            ("queue", "limit", "rule", "tokens", "used", "waiting", "lanes", "state"),
            [_row(shard, info, now) for shard, info in found],
            "no limits",
        ),
    )


@limit.command()
@click.argument("name", metavar="LIMIT")
@_QUEUE
@click.pass_obj
def show(session: Session, name: str, queue_name: str | None) -> None:
    """Show all of one limit: what the code says, what was set, and which jobs hold its slots."""
    shards = _having(session, name, queue_name)
    found = [(shard, session.run(protocol.limit(shard.anchor, 0, name))) for shard in shards]
    session.show(
        [{"queue": shard_name(shard), **fields} for shard, fields in found],
        *(Fields(_shown(session, shard, fields)) for shard, fields in found),
    )


@limit.command("set")
@click.argument("name", metavar="LIMIT")
@click.argument("words", metavar="RULE...", nargs=-1, required=True)
@_ANY_QUEUE
@click.pass_obj
def set_limit(session: Session, name: str, words: Sequence[str], queue_name: str | None) -> None:
    """Say what holds, as in 90_000/min burst 50, slots 3; it wins over the code until "limit unset".

    The words: a rate (5/s, 60_000/min, 1_000/day), burst, slots, ordered, weight, most (jobs that wait), bytes (200MB), over
    (refuse, drop), failures, errors (50%), window, least, open (30s). "slots off" takes one of the code's away.
    A name with a star, tenant:*, means every key of it that says nothing else.
    """
    from streamq.limits.rule import Rule
    from streamq.steering import changed

    text = " ".join(words)
    shards = _having(session, name, queue_name, make=True)
    for shard in shards:
        session.follow(changed(shard.anchor, name, text))
    rule = Rule.parse(name, text)
    session.show(
        {"limit": name, "rule": rule.text, "queues": [shard_name(shard) for shard in shards]},
        f"{name}: {rule.shown} in {_names(shards)}",
    )


@limit.command()
@click.argument("name", metavar="LIMIT")
@_ANY_QUEUE
@click.pass_obj
def unset(session: Session, name: str, queue_name: str | None) -> None:
    """Let the code decide again."""
    from streamq.strikes import somebody

    shards = [
        shard
        for shard in _having(session, name, queue_name)
        if session.run(protocol.limit(shard.anchor, 0, name)).get("override")
    ]
    if not shards:
        raise LimitNotFound(f'nobody has set limit {name}; "streamq limit list" shows what holds')
    for shard in shards:
        session.follow(protocol.unset(shard.anchor, 0, name, somebody()))
    session.show(
        {"limit": name, "queues": [shard_name(shard) for shard in shards]},
        f"{name}: what the code says, in {_names(shards)}",
    )


@limit.command()
@click.argument("name", metavar="LIMIT")
@click.argument("time", metavar="TIME")
@_ANY_QUEUE
@click.pass_obj
def stop(session: Session, name: str, time: str, queue_name: str | None) -> None:
    """Let nothing pass for a time: 30s, 5m, 1h. What runs goes on; "limit reset" ends it earlier."""
    from streamq.steering import stopped

    shards = _having(session, name, queue_name)
    for shard in shards:
        session.run(stopped(shard.anchor, name, time))
    session.show(
        {"limit": name, "stopped": time, "queues": [shard_name(shard) for shard in shards]},
        f"{name} lets nothing pass for {time} in {_names(shards)}",
    )


@limit.command()
@click.argument("name", metavar="LIMIT")
@_ANY_QUEUE
@click.pass_obj
def reset(session: Session, name: str, queue_name: str | None) -> None:
    """Open a limit: a full bucket, a closed breaker, not stopped."""
    from streamq.strikes import somebody

    shards = _having(session, name, queue_name)
    for shard in shards:
        session.run(protocol.reset(shard.anchor, 0, name, somebody()))
    session.show(
        {"limit": name, "queues": [shard_name(shard) for shard in shards]},
        f"{name} is open in {_names(shards)}",
    )


def _limits(session: Session, shard: Queue) -> list[LimitInfo]:
    return sorted(session.follow(protocol.limits(shard.anchor, 0)))


def _having(session: Session, name: str, queue_name: str | None, *, make: bool = False) -> list[Queue]:
    """The queues that are meant: the named one, else those that have the limit. ``make``: the named one need not exist."""
    from streamq.queue import Queue

    if queue_name is not None and make:
        return [Queue(queue_name, namespace=session.config.namespace)]
    if queue_name is not None:
        return queues_named(session, queue_name)
    shards = [
        shard
        for shard in queues_named(session)
        if any(_group(info.name) == _group(name) for info in _limits(session, shard))
    ]
    if shards:
        return shards
    if make:
        raise ConfigError(f"no queue has a limit {name} yet: say which is meant, with --queue")
    raise LimitNotFound(f'there is no limit {name}; "streamq limit list" shows those that there are')


def _group(name: str) -> str:
    """What keys of one class have in common: ``tenant:*``; a name without a value stands for itself."""
    start, colon, _ = name.partition(":")
    return f"{start}:*" if colon else name


def _now(session: Session, shards: Sequence[Queue]) -> int:
    """The server's clock, which all times mean."""
    return int(session.run(shards[0].stats())["now"]) if shards else 0


def _names(shards: Sequence[Queue]) -> str:
    return ", ".join(shard_name(shard) for shard in shards)


def _row(shard: Queue, info: LimitInfo, now_ms: int) -> tuple[str, ...]:
    from streamq.limits.rule import Rule

    rule = Rule.read(info.rule)
    return (
        shard_name(shard),
        info.name,
        rule.shown + (" (set)" if info.override else ""),
        amount(float(info.tokens)) if rule.rate is not None and not info.name.endswith(":*") else "",
        _of(info.used, rule.slots),
        _of(info.queued, rule.most),
        amount(info.lanes) if info.lanes else "",
        _state(info.phase, info.closed_until_ms, now_ms),
    )


def _of(count: int, most: int | str | None) -> str:
    if isinstance(most, int):
        return f"{amount(count)}/{amount(most)}"
    return amount(count) if count else ""


def _state(phase: str, closed_until_ms: int, now_ms: int) -> str:
    breaker = f"breaker {phase}" if phase not in {"", "closed"} else ""
    closed = f"closed for {duration(closed_until_ms - now_ms)}" if closed_until_ms > now_ms else ""
    return ", ".join(filter(None, (breaker, closed)))


def _shown(session: Session, shard: Queue, fields: dict[str, Any]) -> dict[str, str]:
    from streamq.limits.rule import Rule

    rule, holders = Rule.read(fields["words"]), fields.get("held_by", "").split()
    now = _now(session, [shard])
    burst = f" of {amount(float(fields['burst']))}" if fields.get("burst") else ""
    return {
        "queue": shard_name(shard),
        "limit": fields["name"],
        "rule": rule.shown,
        "code": Rule.read(fields["declared"]).shown,
        "set": Rule.read(fields["override"]).shown,
        "tokens": f"{amount(float(fields['tokens']))}{burst}" if burst else "",
        "slots": _of(int(fields["used"]), rule.slots),
        "waiting": _of(int(fields["queued"]), rule.most),
        "bytes": _of(int(fields["bytes"]), rule.bytes),
        "lanes": counted(int(fields["lanes_waiting"]), "lane") if fields["lanes_waiting"] != "0" else "",
        "state": _state(fields["breaker"], int(fields["closed_until"]), now) or "open",
        "held by": "\n".join(shard.job_id(job) for job in holders),
    }
