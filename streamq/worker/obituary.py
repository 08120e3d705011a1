"""What a supervisor says of the dead, in its log and to observers: nobody else is left who could."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from streamq.events import Event
from streamq.logger import Logger
from streamq.worker.burial import suspects_of
from streamq.worker.child import Death
from streamq.worker.page import Started

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["Obituaries"]


class Obituaries:
    """``queue_of`` names the queue of an anchor."""

    def __init__(self, app: App, queue_of: Mapping[str, str]) -> None:
        self._observers, self._queue_of = app.observers, queue_of
        self._log = Logger("streamq.supervisor")

    def lost(self, death: Death) -> None:
        """A process crashed, or was killed."""
        child = death.child
        suspects = {
            f"{self._queue_of[anchor]}-{suspect.job}": suspect.task for anchor, suspect in suspects_of(death)
        }
        fields = {"pid": child.pid, "why": death.why, "alone": child.alone, "suspects": suspects}
        self._log.error("worker.lost", **fields)
        self._observers.tell(Event("worker.lost", fields=fields))

    def convicted(self, anchor: str, suspect: Started, found: Mapping[str, str]) -> None:
        """The death of its process sent a job to the dead letters. ``found``: the job's fields."""
        queue, task = self._queue_of[anchor], found.get("task", suspect.task)
        job, fields = f"{queue}-{suspect.job}", {"reason": found["reason"], "error": found.get("error", "")}
        self._log.error("job.dead", queue=queue, job=job, task=task, **fields)
        self._observers.tell(Event("job.dead", job, task, queue, fields))
