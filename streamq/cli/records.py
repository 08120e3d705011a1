"""Jobs as the command line shows them: their fields, and their payloads where somebody asks for these."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from streamq.cli.screen import Fields, Table
from streamq.cli.session import Session
from streamq.cli.words import ago, duration, moment, without_seals
from streamq.job import JobInfo
from streamq.protocol import Call
from streamq.protocol.inspect import Listed
from streamq.protocol.keys import JobId
from streamq.protocol.replies import text
from streamq.queue import Queue

if TYPE_CHECKING:
    from streamq.wire import Unpacked

__all__ = [
    "WAITING",
    "Row",
    "call_in",
    "dead_of",
    "jobs_of",
    "record_of",
    "rows_table",
    "show_job",
    "show_rows",
]

Row = dict[str, str]  # the fields of a listed job; "id" is the one that people see
WAITING = (
    "waiting",
    "gated",
    "suspended",
    "following",
)  # the lists of jobs that wait: in lanes, for others, outside
_PAGE = 500
_PROGRESS = "progress_"


def record_of(session: Session, job: str) -> dict[str, bytes]:
    """The fields of a job as they are stored; empty when it is unknown."""
    queue, local = session.place(job)
    call = queue.job(local)
    raw = Call(call.function, call.anchor, call.args, _bytes_by_name, call.readonly)
    return session.run(raw)


def call_in(session: Session, job: str, record: Mapping[str, bytes]) -> Unpacked:
    """The call in a job's payload. Raises what ``Payloads.unpack`` does."""
    body = record.get("large") or record.get("body") or b""
    return session.payloads.unpack(JobId.parse(job).queue, text(record["task"]), body)


def show_job(session: Session, job: str, *, payload: bool) -> None:
    """Print what is kept of a job. Raises JobNotFound."""
    record = record_of(session, job)
    info = JobInfo.read(job, {name: text(value) for name, value in record.items()})
    error, traceback = _opened(session, job, info.task, info.error, info.traceback)
    info = replace(info, error=error, traceback=traceback)
    document = asdict(info) | {"progress": _progress(record)}
    if payload:
        document["payload"] = _payload(session, job, record)
    session.show(document, Fields(_shown(info, document)))


def jobs_of(session: Session, queue: Queue, what: str, limit: int) -> Iterator[Row]:
    """At most ``limit`` jobs of a list: ``pending``, ``active``, ``delayed``, ``dead`` or ``tag:<tag>``."""
    start, left = "-", limit
    while start and left > 0:
        page = session.run(queue.list_jobs(what, start, min(left, _PAGE)))
        yield from (_row(session, queue, listed) for listed in page.jobs)
        start, left = page.next, left - len(page.jobs)


def dead_of(
    session: Session, queues: Sequence[Queue], wanted: Mapping[str, str | None], limit: int
) -> list[Row]:
    """The latest dead jobs of all queues that match: ``task`` and ``reason`` exactly, ``error`` as a part of it."""
    latest = heapq.merge(*(_newest_dead(session, queue) for queue in queues), key=_died, reverse=True)
    return list(islice((row for row in latest if _matches(row, wanted)), limit))


def show_rows(session: Session, rows: Sequence[Row], limit: int, now_ms: float, empty: str) -> None:
    """Print ``limit`` listed jobs, and whether there are more."""
    session.show(rows_document(rows[:limit]), rows_table(rows[:limit], now_ms, empty))
    if len(rows) > limit:
        click.echo(f"There are more; --limit {2 * limit} shows more of them.", err=True)


def rows_document(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Listed jobs for JSON, numbers as numbers."""
    numbers = {"attempts", "due", "died", "deliveries", "waits_until"}
    return [{name: int(value) if name in numbers else value for name, value in row.items()} for row in rows]


def rows_table(rows: Sequence[Row], now_ms: float, empty: str) -> Table:
    """Listed jobs for people."""
    return Table(
        ("job", "task", "state", "attempts", "when", "error"),
        [
            (
                row["id"],
                row["task"],
                row.get("state", "active"),
                row["attempts"],
                _when(row, now_ms),
                _first_line(row.get("waits_for") or row.get("error") or row.get("reason", "")),
            )
            for row in rows
        ],
        empty,
    )


def _row(session: Session, queue: Queue, listed: Listed) -> Row:
    job = queue.job_id(listed.id)
    row = {"id": job, **listed.fields}
    row.setdefault("state", "active")
    row["attempts"] = row.pop("attempt", "0")
    if row.get("error"):
        row["error"], _ = _opened(session, job, row["task"], row["error"])
    return row


def _newest_dead(session: Session, queue: Queue) -> Iterator[Row]:
    """From the latest on. The list itself is by rank, the oldest first."""
    end = int(session.run(queue.stats())["dead"])
    while end > 0:
        start = max(0, end - _PAGE)
        page = session.run(queue.list_jobs("dead", str(start), end - start))
        yield from (_row(session, queue, listed) for listed in reversed(page.jobs))
        end = start


def _died(row: Row) -> int:
    return int(row.get("died", 0))


def _matches(row: Row, wanted: Mapping[str, str | None]) -> bool:
    error = wanted.get("error")
    exact = all(row.get(name) == value for name, value in wanted.items() if value and name != "error")
    return exact and (not error or error in row.get("error", ""))


def _opened(session: Session, job: str, task: str, error: str, traceback: str = "") -> tuple[str, str]:
    """Error and traceback, unsealed where they were sealed."""
    where, payloads = JobId.parse(job), session.payloads
    kind, words = payloads.unpack_error(where.queue, task, error, where.local)
    opened = payloads.unpack_traceback(where.queue, task, traceback, where.local)
    return f"{kind}: {words}" if kind else words, opened


def _bytes_by_name(reply: Any) -> dict[str, bytes]:
    return {text(reply[i]): reply[i + 1] for i in range(0, len(reply), 2)}


def _payload(session: Session, job: str, record: Mapping[str, bytes]) -> dict[str, Any]:
    where, task = JobId.parse(job), text(record["task"])
    shown: dict[str, Any] = {}
    if record.get("body") or record.get("large"):
        call = call_in(session, job, record)
        shown |= {"args": call.args, "kwargs": call.kwargs, "options": call.options}
    if record.get("result"):
        shown["result"] = session.payloads.unpack_result(where.queue, task, record["result"], job=where.local)
    return shown


def _progress(record: Mapping[str, bytes]) -> dict[str, Any]:
    told = {
        name.removeprefix(_PROGRESS): text(value)
        for name, value in record.items()
        if name.startswith(_PROGRESS)
    }
    told.pop("partial", None)  # bytes of the handler: a payload
    return {name: float(value) if name == "fraction" else value for name, value in told.items()}


def _shown(info: JobInfo, document: Mapping[str, Any]) -> dict[str, str]:
    progress = document["progress"]
    fraction = f"{progress['fraction']:.0%} " if "fraction" in progress else ""
    return {
        "job": info.id,
        "task": info.task,
        "state": info.state.value,
        "priority": str(info.priority),
        "attempts": str(info.attempts),
        "created": moment(info.created_ms),
        "due": moment(info.due_ms) if info.due_ms else "",
        "reason": info.reason,
        "error": info.error,
        "waits for": _wait(info),
        "steps": "\n".join(info.steps),
        "worker": info.worker,
        "parent": info.parent or "",
        "schedule": f"{info.schedule}, for {moment(info.scheduled_ms)}" if info.scheduled_ms else "",
        "tags": ", ".join(info.tags),
        "progress": fraction + progress.get("note", ""),
        "history": "\n".join(map(_history_line, info.history)),
        "traceback": info.traceback.rstrip(),
        **{f"payload {name}": repr(value) for name, value in document.get("payload", {}).items() if value},
    }


def _wait(info: JobInfo) -> str:
    until = f", until {moment(info.waits_until_ms)}" if info.waits_until_ms else ""
    return f"{info.waits_for}{until}" if info.waits_for else ""


def _history_line(line: str) -> str:
    ms, _, said = line.partition(" ")
    return f"{moment(int(ms))} {without_seals(said)}" if ms.isdigit() else line


def _when(row: Row, now_ms: float) -> str:
    if "died" in row:
        return ago(int(row["died"]), now_ms)
    if "waits_until" in row:
        return ago(int(row["waits_until"]), now_ms)
    if "due" in row and row["state"] in {"scheduled", "retrying"}:
        return ago(int(row["due"]), now_ms)
    created = row["id"].split("-")[-2]
    return f"for {duration(max(0, now_ms - int(created)))}"


def _first_line(words: str) -> str:
    line = words.partition("\n")[0]
    return line if len(line) <= 80 else f"{line[:79]}…"
