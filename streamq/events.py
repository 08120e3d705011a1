"""Observers: functions that are told what happens to jobs and workers in this process, and are never in the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Literal, get_args

from streamq.errors import ConfigError
from streamq.logger import Logger
from streamq.signature import nearest

__all__ = ["Event", "EventName", "Observer", "Observers"]

EventName = Literal[
    "job.started",
    "job.completed",
    "job.retrying",
    "job.parked",
    "job.waiting",
    "job.dead",
    "job.cancelled",
    "job.expired",
    "worker.started",
    "worker.stopped",
    "worker.lost",
    "schedule.missed",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``job``, ``task`` and ``queue`` where it is about a job; ``fields`` hold the rest."""

    name: EventName
    job: str | None = None
    task: str | None = None
    queue: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


Observer = Callable[[Event], object]


class Observers:
    """Who wants to be told what."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[Observer, ...]] = {}

    def add(self, names: tuple[str, ...], observer: Observer) -> None:
        """Tell ``observer`` of events with these names. Raises ConfigError for a name that does not exist."""
        if iscoroutinefunction(observer):
            raise ConfigError(
                f"observer {observer.__qualname__}: it must be a plain function; start a task from it"
            )
        if not names:
            raise ConfigError(f"observer {observer.__qualname__}: name its events, as in @app.on('job.dead')")
        for name in names:
            self._by_name[_known(name)] = (*self._by_name.get(name, ()), observer)

    def wants(self, name: EventName) -> bool:
        """Whether anybody listens, so that events without a listener need not be made."""
        return name in self._by_name

    def tell(self, event: Event, through: tuple[type[BaseException], ...] = ()) -> None:
        """Call the observers of an event, in order of their declaration. What they raise is logged and goes no further.

        That holds for SystemExit too: an observer ends no process. Only KeyboardInterrupt passes, which comes from outside,
        and what may be sent into this thread to end a job (``through``).
        """
        passing: tuple[type[BaseException], ...] = (KeyboardInterrupt, *through)
        for observer in self._by_name.get(event.name, ()):
            try:
                observer(event)
            except passing:
                raise
            except BaseException:
                Logger("streamq").exception("observer failed", event_name=event.name, job=event.job)


def _known(name: str) -> str:
    names = get_args(EventName)
    if name in names:
        return name
    near = nearest(name, names)
    hint = f"Did you mean '{near}'?" if near else f"There are: {', '.join(names)}."
    raise ConfigError(f"no event is named '{name}'. {hint}")
