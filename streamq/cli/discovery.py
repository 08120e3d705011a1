"""Finds the queues of a namespace: each shard has a ``meta`` key, found by SCAN. For people only; nothing else scans."""

from __future__ import annotations

from difflib import get_close_matches

from streamq.cli.session import Session
from streamq.errors import StreamqError
from streamq.queue import Queue

__all__ = ["QueueNotFound", "queues_named", "shard_name"]


class QueueNotFound(StreamqError, LookupError):
    """No queue of that name is on the server."""


def queues_named(session: Session, name: str | None = None) -> list[Queue]:
    """All shards of a queue, or of all queues, by name. Raises QueueNotFound for a name that nobody has used."""
    found = _all_queues(session)
    if name is None:
        return found
    chosen = [queue for queue in found if name in (queue.name, shard_name(queue))]
    if chosen:
        return chosen
    known = sorted({queue.name for queue in found})
    near = get_close_matches(name, known, 1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"there are {', '.join(known)}"
        if known
        else "there is none yet"
    )
    raise QueueNotFound(f"there is no queue {name!r} in namespace {session.config.namespace!r}; {hint}")


def shard_name(queue: Queue) -> str:
    """``mail``, or ``mail/3`` for one of several shards."""
    return queue.name if queue.shard is None else f"{queue.name}/{queue.shard}"


def _all_queues(session: Session) -> list[Queue]:
    namespace = session.config.namespace
    prefix, suffix = f"{namespace}:{{", "}:meta"
    keys: set[str] = set()
    cursor = b"0"
    while True:
        cursor, page = session.engine.command("SCAN", cursor, "MATCH", f"{prefix}*{suffix}", "COUNT", 1000)
        keys.update(key.decode() for key in page)
        if cursor == b"0":
            break
    return sorted((_queue(key[len(prefix) : -len(suffix)], namespace) for key in keys), key=shard_name)


def _queue(place: str, namespace: str) -> Queue:
    name, slash, shard = place.rpartition("/")
    if slash and shard.isdigit():
        return Queue(name, namespace=namespace, shard=int(shard))
    return Queue(place, namespace=namespace)
