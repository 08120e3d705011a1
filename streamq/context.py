"""What a handler knows of its own job, and what it may say while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, SupportsFloat, overload

from streamq.errors import WrongCall
from streamq.journal import Desk, Journal
from streamq.limits.lanes import key_named, keys_of, metered_keys
from streamq.steps import AsyncSteps, SyncSteps

__all__ = ["BatchContext", "Context", "Running", "current_job"]

_NOTE_MAX = 1024  # bytes
_AMOUNT_MAX = 1e12
_ROUNDING = 1e-9  # what adding up steps may miss the ends of 0 to 1 by


class Running(Protocol):
    """A job that is being run in this context."""

    @property
    def id(self) -> str: ...


current_job: ContextVar[Running | None] = ContextVar("current_job", default=None)
"""Set by the worker around a handler: jobs that are enqueued meanwhile carry it as their parent."""


@dataclass(slots=True, eq=False)
class Context(AsyncSteps):
    """The job that a handler runs for. What tells is plain and waits for nothing.

    ``attempt`` counts from 1. ``fence`` is larger than that of every earlier delivery of the job's shard: store it
    with your own writes, and refuse those with a smaller one. ``headers`` is what ``before_enqueue`` hooks sent along.
    ``cancelled`` becomes true when the job was cancelled, or is no longer this worker's; async handlers get a
    CancelledError then, sync ones should look at it between steps. ``enqueued_ms`` and ``deadline_ms`` (the hard
    timeout, or the deadline of the job when that is earlier) are milliseconds since 1970. ``tell`` and ``pack`` are the
    worker's: what is told is sent as it is, so a partial result is packed before; ``desk`` is where steps are noted.
    ``lane`` is where it waited for its limits, ``cost`` what it was estimated to take there. ``flow`` is the id of the flow
    that it is part of.
    """

    id: str
    task: str
    queue: str
    attempt: int
    fence: int
    enqueued_ms: int
    tell: Callable[[dict[str, Any]], None] = field(repr=False)
    pack: Callable[[object], bytes] = field(repr=False)
    deadline_ms: int | None = None
    parent: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cancelled: bool = False
    schedule: str | None = None
    scheduled_ms: int | None = None
    desk: Callable[[], Desk] | None = field(default=None, repr=False)
    _steps: Journal | None = field(default=None, init=False, repr=False)
    lane: str | None = None
    cost: float = 1.0
    flow: str | None = None
    _charged: dict[str, float] = field(default_factory=dict, repr=False)

    @property
    def enqueued_at(self) -> datetime:
        """When the job was put in, in UTC."""
        return datetime.fromtimestamp(self.enqueued_ms / 1000, UTC)

    @property
    def deadline(self) -> datetime | None:
        """When the hard timeout, or the deadline of the job, ends the handler, in UTC; None without one."""
        return None if self.deadline_ms is None else datetime.fromtimestamp(self.deadline_ms / 1000, UTC)

    @property
    def scheduled_at(self) -> datetime | None:
        """The time of its ``schedule`` that the job was made for, in UTC, however late it runs; None without a schedule."""
        return None if self.scheduled_ms is None else datetime.fromtimestamp(self.scheduled_ms / 1000, UTC)

    @property
    def log(self) -> Any:
        """A structlog logger that names the job in every line."""
        import structlog

        return structlog.get_logger("streamq.job").bind(job=self.id, task=self.task, attempt=self.attempt)

    @property
    def sync(self) -> SyncSteps:
        """Steps, cursors, signals and sleeps for handlers that are no coroutines: ``ctx.sync.step("charge", charge, 7)``."""
        return SyncSteps(self._journal)

    @property
    def _journal(self) -> Journal:
        if self._steps is None:
            if self.desk is None:
                raise WrongCall(
                    "steps, cursors, signals and sleeps need a worker, which gives the handler its Context"
                )
            self._steps = Journal(self.desk())
        return self._steps

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far the job is: 0 to 1, and a word for people. Sent a few times a second at most, the latest wins.

        Raises WrongCall for another fraction, and for a note that is no text or has more than 1,024 bytes.
        """
        self.tell({"fraction": _checked_fraction(fraction), "note": _checked_note(note)})

    def partial(self, value: object) -> None:
        """Give a part of the result away early: ``job.progress()`` shows the latest one, as it is now.

        Raises WrongCall for a value that cannot be sent, or is too large.
        """
        self.tell({"partial": self.pack(value)})

    @overload
    def spent(self, amount: float, /) -> None: ...
    @overload
    def spent(self, limit: str, amount: float, /) -> None: ...
    def spent(self, *said: Any) -> None:
        """Say what the job has really taken, of one limit or of those that its cost counts in: more or less than estimated.

        It may be said several times: the latest total counts. Raises WrongCall for what is no amount or no limit of it.
        """
        named, amount = said if len(said) == 2 else (None, *said)
        differences = {}
        for key, estimate in self._estimates(named).items():
            total = _checked_amount(amount)
            differences[key] = total - self._charged.get(key, estimate)
            self._charged[key] = total
        if differences:
            self.tell({"spent": differences})

    def _estimates(self, named: str | None) -> dict[str, float]:
        """What was charged by limit, for the limit that is named or those where the cost counts."""
        if self.lane is None:
            return {}
        metered = metered_keys(self.lane)
        if named is None and metered:
            return dict.fromkeys(metered, self.cost)
        key = key_named(self.lane, named) if named else None
        if key is None:
            keys = ", ".join(keys_of(self.lane))
            raise WrongCall(
                f"ctx.spent: name one of the limits of this job, which are {keys}, as in ctx.spent(limit, 900)"
            )
        return {key: self.cost if key in metered else 1.0}


@dataclass(slots=True, eq=False)
class BatchContext(Context):
    """The jobs that a batch runs for: ``jobs`` has the Context of each, in the order of the items.

    Middleware sees it as a Context: what that says of one job is said of the first here, but ``fence`` is the smallest
    of theirs, and ``cancelled`` is true when all are. ``progress`` is told of all. Jobs that are enqueued meanwhile
    have no parent.
    """

    jobs: Sequence[Context] = ()

    def partial(self, value: object) -> None:
        """Raises WrongCall: each job has a result of its own, as in ``ctx.jobs[0].partial(value)``."""
        raise WrongCall("ctx.partial: a batch has no result of its own; use ctx.jobs[number].partial(value)")

    def spent(self, *said: Any) -> None:
        """Raises WrongCall: each job has a cost of its own, as in ``ctx.jobs[0].spent(900)``."""
        raise WrongCall("ctx.spent: a batch has no cost of its own; use ctx.jobs[number].spent(amount)")


def _checked_fraction(fraction: object) -> float:
    if isinstance(fraction, SupportsFloat) and -_ROUNDING <= (value := float(fraction)) <= 1 + _ROUNDING:
        return min(1.0, max(0.0, value))
    raise WrongCall(
        f"ctx.progress: fraction is {fraction!r:.80}; a number from 0 to 1 is due, as in done / total"
    )


def _checked_amount(amount: object) -> float:
    if isinstance(amount, int | float) and not isinstance(amount, bool) and 0 <= amount <= _AMOUNT_MAX:
        return float(amount)
    raise WrongCall(f"ctx.spent: the amount is {amount!r:.80}; a number from 0 on is due")


def _checked_note(note: object) -> str:
    if not isinstance(note, str):
        raise WrongCall(
            f"ctx.progress: note is of type {type(note).__qualname__}; a text is due, or leave it out"
        )
    try:
        size = len(note.encode())
    except UnicodeEncodeError:
        raise WrongCall(
            "ctx.progress: note is not valid Unicode (a lone surrogate); pass ascii(note)"
        ) from None
    if size > _NOTE_MAX:
        raise WrongCall(f"ctx.progress: note has {size:,} bytes, and {_NOTE_MAX:,} are allowed; shorten it")
    return note
