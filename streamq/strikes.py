"""Strikes for people and programs: what stops a task, or those of its jobs whose arguments match, without a deploy.

``app.strikes`` has ``add``, ``list`` and ``remove`` (and their a-forms), as ``streamq strike`` has.
"""

from __future__ import annotations

import getpass
import secrets
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streamq.durations import Duration, seconds
from streamq.errors import ConfigError, UnknownTask
from streamq.options import moment
from streamq.protocol import Argument, Call
from streamq.protocol import strikes as protocol
from streamq.protocol.strikes import as_text
from streamq.queue import Queue
from streamq.signature import nearest
from streamq.wire.limits import check_queue, check_task

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.task import Task

__all__ = ["NewStrike", "Strike", "Strikes", "check_conditions", "merged", "somebody"]


@dataclass(frozen=True, slots=True)
class Strike:
    """A strike that stands. ``where``: values as texts, by argument. ``until`` None: until it is removed.

    ``waiting``: how many jobs it has put aside, about (those that were cancelled meanwhile are counted).
    """

    id: str
    task: str
    where: Mapping[str, str]
    until: datetime | None
    note: str
    by: str
    at: datetime
    queues: tuple[str, ...]
    waiting: int


@dataclass(frozen=True, slots=True)
class NewStrike:
    """A strike that is to be placed in queues. ``options`` as the server takes them (docs/protocol.md)."""

    id: str
    task: str
    where: Mapping[str, str]
    options: Mapping[str, Argument]

    @classmethod
    def of(
        cls,
        task: Task[..., Any] | str,
        where: Mapping[str, Any] | None = None,
        for_: Duration | None = None,
        until: datetime | None = None,
        note: str = "",
        by: str | None = None,
    ) -> NewStrike:
        """Checked. Raises ConfigError for a time that is none, and when both are given."""
        options: dict[str, Argument] = {"note": note, "by": somebody() if by is None else by}
        if for_ is not None and until is not None:
            raise ConfigError("for and until both say when a strike ends: give one of them")
        if for_ is not None:
            options["for"] = max(1, round(seconds(for_, "for") * 1000))
        if until is not None:
            options["until"] = round(moment("until", until).timestamp() * 1000)
        texts = {name: as_text(value) for name, value in (where or {}).items()}
        name = task if isinstance(task, str) else task.name
        return cls(secrets.token_hex(4), check_task(name), texts, options)

    def on(self, queue: Queue) -> Call[bool]:
        """Place it in one queue."""
        return protocol.strike(queue.anchor, queue.now, self.id, self.task, self.where, self.options)


class Strikes:
    """The strikes of an App: ``app.strikes``. They hold from the moment that a method returns, for all workers."""

    def __init__(self, app: App) -> None:
        self._app = app

    def add(
        self,
        task: Task[..., Any] | str,
        *,
        where: Mapping[str, Any] | None = None,
        for_: Duration | None = None,
        until: datetime | None = None,
        note: str = "",
        by: str | None = None,
        queue: str | None = None,
    ) -> str:
        """Stop a task, or its jobs whose arguments have the values of ``where``; the strike's id.

        It ends after a time, or when it is removed. Jobs are still put in; those that match wait, no attempt is spent,
        and they run when it is over. What runs goes on. ``queue``: another one than the task's. ``by``: who does it,
        this user by default. Conditions lie on the server as plain text, also where payloads are sealed.

        Raises UnknownTask and ConfigError for what can match nothing, and LimitExceeded for the 101st.
        """
        new, on = self._new(task, NewStrike.of(task, where, for_, until, note, by), queue)
        self._app.run(new.on(on))
        return new.id

    async def aadd(
        self,
        task: Task[..., Any] | str,
        *,
        where: Mapping[str, Any] | None = None,
        for_: Duration | None = None,
        until: datetime | None = None,
        note: str = "",
        by: str | None = None,
        queue: str | None = None,
    ) -> str:
        """Stop a task, or its jobs whose arguments have the values of ``where``; the strike's id.

        It ends after a time, or when it is removed. Jobs are still put in; those that match wait, no attempt is spent,
        and they run when it is over. What runs goes on. ``queue``: another one than the task's. ``by``: who does it,
        this user by default. Conditions lie on the server as plain text, also where payloads are sealed.

        Raises UnknownTask and ConfigError for what can match nothing, and LimitExceeded for the 101st.
        """
        new, on = self._new(task, NewStrike.of(task, where, for_, until, note, by), queue)
        await self._app.arun(new.on(on))
        return new.id

    def list(self, queue: str | None = None) -> Sequence[Strike]:
        """The strikes that stand in a queue, or in all queues of the App's tasks; the latest first."""
        return merged((on.name, self._app.run(on.strikes())) for on in self._queues(queue))

    async def alist(self, queue: str | None = None) -> Sequence[Strike]:
        """The strikes that stand in a queue, or in all queues of the App's tasks; the latest first."""
        return merged([(on.name, await self._app.arun(on.strikes())) for on in self._queues(queue)])

    def remove(self, strike: str, *, queue: str | None = None) -> bool:
        """Lift a strike: its jobs run. False when there is none in this queue, or in those of the App's tasks."""
        found = [self._app.run(on.unstrike(strike, somebody())) for on in self._queues(queue)]
        return any(found)

    async def aremove(self, strike: str, *, queue: str | None = None) -> bool:
        """Lift a strike: its jobs run. False when there is none in this queue, or in those of the App's tasks."""
        found = [await self._app.arun(on.unstrike(strike, somebody())) for on in self._queues(queue)]
        return any(found)

    def _new(self, task: Task[..., Any] | str, new: NewStrike, queue: str | None) -> tuple[NewStrike, Queue]:
        """The new strike, whose task and conditions exist, and where it is placed."""
        known = self._known(task) if isinstance(task, str) else task
        check_conditions(known, new.where)
        return new, self._app.queue(check_queue(queue or known.queue))

    def _known(self, name: str) -> Task[..., Any]:
        if name in self._app.tasks:
            return self._app.tasks[name]
        near = nearest(name, list(self._app.tasks))
        hint = f"did you mean {near}?" if near else f"it has {', '.join(sorted(self._app.tasks)) or 'none'}"
        raise UnknownTask(f"the App has no task {name!r}; {hint}")

    def _queues(self, queue: str | None) -> Sequence[Queue]:
        names = {task.queue for task in self._app.tasks.values()} if queue is None else {queue}
        return [self._app.queue(name) for name in sorted(names)]


def merged(found: Iterable[tuple[str, list[protocol.Strike]]]) -> list[Strike]:
    """The strikes of several queues, given by queue: one for each id; the latest first."""
    strikes: dict[str, Strike] = {}
    for queue, here in found:
        for strike in here:
            known = strikes.get(strike.id)
            queues = (*known.queues, queue) if known else (queue,)
            waiting = strike.waiting + (known.waiting if known else 0)
            strikes[strike.id] = _shown(strike, queues, waiting)
    return sorted(strikes.values(), key=lambda strike: strike.at, reverse=True)


def somebody() -> str:
    """Who does this, for the audit log: user and host."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a user without a name
        return socket.gethostname()


def check_conditions(task: Task[..., Any], where: Mapping[str, Any]) -> None:
    """Raises ConfigError for a condition on an argument that the task does not take."""
    names = task.signature.names
    for name in where:
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean '{near}'?" if near else f"it takes {', '.join(names) or 'none'}"
            raise ConfigError(f"task {task.name} has no argument '{name}'; {hint}")


def _shown(strike: protocol.Strike, queues: tuple[str, ...], waiting: int) -> Strike:
    until = None if strike.until_ms is None else _time(strike.until_ms)
    return Strike(
        strike.id,
        strike.task,
        strike.where,
        until,
        strike.note,
        strike.by,
        _time(strike.at_ms),
        queues,
        waiting,
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
