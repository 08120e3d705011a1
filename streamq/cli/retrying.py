"""Runs dead jobs again, as they are or with arguments changed by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streamq.cli.arguments import call_of, named_words
from streamq.cli.records import call_in, record_of
from streamq.cli.session import Session
from streamq.errors import ConfigError, JobNotFound
from streamq.protocol.keys import JobId
from streamq.protocol.replies import text

__all__ = ["retry_jobs"]


def retry_jobs(session: Session, jobs: Sequence[str], changes: Sequence[str]) -> None:
    """Retry each job. ``changes`` are ``name=value`` for all of them. Raises JobNotFound for one that is not dead."""
    named_words(changes)
    for job in jobs:
        queue, local = session.place(job)
        session.run(queue.retry(local, _replacement(session, job, changes) if changes else None))
    session.show({"retried": list(jobs)}, *(f"{job} runs again" for job in jobs))


def _replacement(session: Session, job: str, changes: Sequence[str]) -> tuple[str, bytes]:
    """The job's task, and its payload with arguments changed; checked where the App is known."""
    record = record_of(session, job)
    if not record:
        raise JobNotFound(f"job {job} is unknown, or it has finished")
    name, call = text(record["task"]), call_in(session, job, record)
    task = session.app.tasks.get(name) if session.has_app else None
    if call.args and task is None:
        raise ConfigError(
            f"job {job} has arguments by position, and without its App their names are not known; add --app"
        )
    _, changed = call_of(changes, task)
    args, kwargs = _with_changes(call.args, call.kwargs, changed, task.signature.names if task else [])
    if task:
        task.call(*args, **kwargs)
    return name, session.payloads.pack(JobId.parse(job).queue, name, args, kwargs, call.options or None)


def _with_changes(
    args: Sequence[Any], kwargs: Mapping[str, Any], changed: Mapping[str, Any], names: Sequence[str]
) -> tuple[list[Any], dict[str, Any]]:
    by_place, by_name = list(args), dict(kwargs)
    positions = {name: place for place, name in enumerate(names[: len(by_place)])}
    for name, value in changed.items():
        if name in positions:
            by_place[positions[name]] = value
        else:
            by_name[name] = value
    return by_place, by_name
