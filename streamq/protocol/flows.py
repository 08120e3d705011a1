"""Flows: jobs that depend on each other, kept track of in one shard, and the messages between shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from streamq.protocol.call import Argument, Call, Flow
from streamq.protocol.replies import flag, integer, pairs, parts, text, unexpected

__all__ = [
    "DESCRIBED",
    "REVIVED",
    "FlowJob",
    "FlowPage",
    "Ids",
    "JobsPage",
    "Message",
    "Row",
    "cancel_flow",
    "cancel_step",
    "commit",
    "describe",
    "flow",
    "flows",
    "hear",
    "jobs",
    "jobs_page",
    "letters",
    "open_flow",
    "outbox",
    "relay",
    "relayed",
    "reserve",
    "revive",
]

DESCRIBED = 500  # rows that one call describes
REVIVED = 100  # jobs that one call revives
_NAMES = 400  # names in the messages of one call; the server hears 600
Row = tuple[str, str, str]  # role, full id of a job, text


class Ids(NamedTuple):
    """Consecutive ids of one shard, without their level."""

    ms: str
    first: int

    def at(self, place: int) -> str:
        """The id at a place, from 0."""
        return f"{self.ms}-{self.first + place}"


class FlowJob(NamedTuple):
    """A job of a flow. ``status`` is empty while it has not ended; ``by_parents``: it ended because of its parents.

    ``run``: how often it was revived.
    """

    job: str
    role: str
    text: str
    status: str
    by_parents: bool
    ended_ms: int | None
    run: int


class JobsPage(NamedTuple):
    """Jobs of a flow, in no order, and where the next page starts (empty: this was the last)."""

    next: str
    jobs: list[FlowJob]


class FlowPage(NamedTuple):
    """Flows by their fields, the newest first, and where the next page starts (empty: this was the last)."""

    next: str
    flows: list[dict[str, str]]


class Message(NamedTuple):
    """What one shard has to say to another."""

    id: str
    to: str
    parts: tuple[bytes, ...]  # kind, about, status, result, names

    @property
    def names(self) -> int:
        """How many words its names are."""
        return len(self.parts[-1].split())


def reserve(anchor: str, now: int, count: int) -> Call[Ids]:
    """Ids in a row, for jobs that are added later."""
    return Call("reserve", anchor, (now, count), _ids)


def open_flow(anchor: str, now: int, name: str, keep_ms: int, count: int) -> Call[Ids]:
    """A flow that nothing runs of yet: the first id is its own, ``count`` more follow. It is kept ``keep_ms`` after its end."""
    return Call("flow_open", anchor, (now, name, keep_ms, count), _ids)


def describe(anchor: str, now: int, flow_id: str, rows: Sequence[Row]) -> Call[bool]:
    """At most 500 jobs of the flow. Raises WrongState when it has ended."""
    return Call("flow_describe", anchor, (now, flow_id, *_flat(rows)), flag)


def commit(anchor: str, now: int, flow_id: str, rows: Sequence[Row] = ()) -> Call[bool]:
    """All jobs were added: they run. Raises WrongState when the flow was given up."""
    return Call("flow_commit", anchor, (now, flow_id, *_flat(rows)), flag)


def cancel_step(anchor: str, now: int, flow_id: str, cursor: str = "-") -> Call[str]:
    """Cancel some of a flow's jobs; where the next step starts (empty: done)."""
    return Call("flow_cancel", anchor, (now, flow_id, cursor), text)


def cancel_flow(namespace: str, anchor: str, now: int, flow_id: str) -> Flow[None]:
    """Cancel what has not ended, in steps; what was done is undone. Other shards, and then the home, hear of it at once."""
    cursor = "-"
    while cursor:
        cursor = yield cancel_step(anchor, now, flow_id, cursor)
    for place in sorted((yield from relay(namespace, anchor, now))):
        yield from relay(namespace, place, now)


def revive(anchor: str, now: int, jobs: Sequence[tuple[str, str]]) -> Call[bool]:
    """At most 100 jobs, each with its edges, run again; parents before children."""
    args = [part for job in jobs for part in job]
    return Call("revive", anchor, (now, *args), flag, repeatable=False)


def flow(anchor: str, now: int, flow_id: str) -> Call[dict[str, str]]:
    """The fields of a flow, empty when it is unknown."""
    return Call("flow", anchor, (now, flow_id), pairs, readonly=True)


def flows(anchor: str, now: int, start: str = "-", count: int = 50) -> Call[FlowPage]:
    """A page of flows."""
    return Call("flows", anchor, (now, start, count), _flows, readonly=True)


def jobs_page(anchor: str, now: int, flow_id: str, cursor: str = "-", count: int = 500) -> Call[JobsPage]:
    """A page of a flow's jobs."""
    return Call("flow_jobs", anchor, (now, flow_id, cursor, count), _jobs, readonly=True)


def jobs(anchor: str, now: int, flow_id: str) -> Flow[list[FlowJob]]:
    """All jobs of a flow, in no order."""
    found: dict[str, FlowJob] = {}
    cursor = "-"
    while cursor:
        page: JobsPage = yield jobs_page(anchor, now, flow_id, cursor)
        found |= {job.job: job for job in page.jobs}
        cursor = page.next
    return list(found.values())


def outbox(anchor: str, now: int, behind: str = "0-0") -> Call[list[Message]]:
    """Messages that wait to be carried, the oldest behind this id."""
    return Call("outbox", anchor, (now, behind), _messages, readonly=True)


def hear(anchor: str, now: int, messages: Sequence[Message]) -> Call[bool]:
    """Messages for this shard; once more does no harm."""
    args: list[Argument] = []
    for message in messages:
        args += (message.to, *message.parts)
    return Call("hear", anchor, (now, *args), flag)


def relayed(anchor: str, now: int, messages: Sequence[Message]) -> Call[int]:
    """They were heard; how many wait still."""
    return Call("relayed", anchor, (now, *[message.id for message in messages]), integer)


def letters(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Cut into what one shard can hear in one call, in order."""
    to: dict[str, list[Message]] = {}
    for message in messages:
        waiting = to.setdefault(message.to, [])
        if waiting and sum(one.names for one in waiting) + message.names > _NAMES:
            yield to.pop(message.to)
            waiting = to.setdefault(message.to, [])
        waiting.append(message)
    yield from to.values()


def relay(namespace: str, anchor: str, now: int) -> Flow[set[str]]:
    """Carry all messages of a shard to where they belong; the anchors of these shards."""
    places: set[str] = set()
    while messages := (yield outbox(anchor, now)):
        for letter in letters(messages):
            place = f"{namespace}:{{{letter[0].to}}}"
            yield hear(place, now, letter)
            yield relayed(anchor, now, letter)
            places.add(place)
    return places


def _flat(rows: Sequence[Row]) -> list[str]:
    return [part for row in rows for part in row]


def _ids(reply: Any) -> Ids:
    ms, _, first = text(reply).partition("-")
    return Ids(ms, integer(first))


def _flows(reply: Any) -> FlowPage:
    after, *rows = parts(reply, 1)
    return FlowPage(text(after), [pairs(row) for row in rows])


def _jobs(reply: Any) -> JobsPage:
    after, *rows = parts(reply, 1)
    return JobsPage(text(after), [_job(row) for row in rows])


def _job(row: Any) -> FlowJob:
    job, role, said, status, ended, run = map(text, parts(row, 6)[:6])
    status, by_parents = status.removeprefix("-"), status.startswith("-")
    is_over = status not in {"", "open"}
    ended_ms = integer(ended) if is_over else None
    return FlowJob(job, role, said, status if is_over else "", by_parents, ended_ms, integer(run))


def _messages(reply: Any) -> list[Message]:
    flat = parts(reply, 0)
    if len(flat) % 7 or not all(isinstance(part, bytes) for part in flat):
        raise unexpected(reply, "messages of seven parts")
    return [
        Message(text(flat[i]), text(flat[i + 1]), tuple(flat[i + 2 : i + 7])) for i in range(0, len(flat), 7)
    ]
