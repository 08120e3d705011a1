"""What a handler knows of its own job, and what it may say while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

__all__ = ["Context", "Running", "current_job"]


class Running(Protocol):
    """A job that is being run in this context."""

    @property
    def id(self) -> str: ...


current_job: ContextVar[Running | None] = ContextVar("current_job", default=None)
"""Set by the worker around a handler: jobs that are enqueued meanwhile carry it as their parent."""


@dataclass(slots=True, eq=False)
class Context:
    """The job that a handler runs for. What tells is plain and waits for nothing.

    ``attempt`` counts from 1. ``fence`` is larger than that of every earlier delivery of the job's shard: store it
    with your own writes, and refuse those with a smaller one. ``headers`` is what ``before_enqueue`` hooks sent along.
    ``cancelled`` becomes true when the job was cancelled, or is no longer this worker's; async handlers get a
    CancelledError then, sync ones should look at it between steps. ``enqueued_ms`` and ``deadline_ms`` (the hard
    timeout) are milliseconds since 1970.
    """

    id: str
    task: str
    queue: str
    attempt: int
    fence: int
    enqueued_ms: int
    tell: Callable[[dict[str, Any]], None] = field(repr=False)
    deadline_ms: int | None = None
    parent: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cancelled: bool = False

    @property
    def enqueued_at(self) -> datetime:
        """When the job was put in, in UTC."""
        return datetime.fromtimestamp(self.enqueued_ms / 1000, UTC)

    @property
    def deadline(self) -> datetime | None:
        """When the hard timeout ends the handler, in UTC; None without one."""
        return None if self.deadline_ms is None else datetime.fromtimestamp(self.deadline_ms / 1000, UTC)

    @property
    def log(self) -> Any:
        """A structlog logger that names the job in every line."""
        import structlog

        return structlog.get_logger("streamq.job").bind(job=self.id, task=self.task, attempt=self.attempt)

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far the job is: 0 to 1, and a word for people. Sent a few times a second at most, the latest wins."""
        self.tell({"fraction": min(1.0, max(0.0, float(fraction))), "note": note})

    def partial(self, value: object) -> None:
        """Give a part of the result away early: ``job.progress()`` shows the latest one."""
        self.tell({"partial": value})
