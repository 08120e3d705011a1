"""streamq: a fast job queue on Redis Streams that does not lose jobs."""

from __future__ import annotations

from streamq.app import App
from streamq.config import Config
from streamq.context import Context
from streamq.errors import (
    Cancelled,
    JobFailed,
    JobNotFound,
    ResultGone,
    ResultTimeout,
    StreamqError,
    UniqueConflict,
    WrongCall,
)
from streamq.events import Event
from streamq.handlers import CallNext
from streamq.job import Job, JobInfo, Progress
from streamq.options import Backoff, Unique
from streamq.outcomes import Dead, Outcome, Retry, Snooze
from streamq.resources import Resource, resource
from streamq.sending import Outgoing
from streamq.states import State
from streamq.task import Call, Task

__all__ = [
    "App",
    "Backoff",
    "Call",
    "CallNext",
    "Cancelled",
    "Config",
    "Context",
    "Dead",
    "Event",
    "Job",
    "JobFailed",
    "JobInfo",
    "JobNotFound",
    "Outcome",
    "Outgoing",
    "Progress",
    "Resource",
    "ResultGone",
    "ResultTimeout",
    "Retry",
    "Snooze",
    "State",
    "StreamqError",
    "Task",
    "Unique",
    "UniqueConflict",
    "WrongCall",
    "resource",
]
