"""streamq: a fast job queue on Redis Streams that does not lose jobs.

A public name is imported when it is first used, so that ``streamq --help`` does not wait for the whole.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.config import Config
    from streamq.context import BatchContext, Context
    from streamq.errors import (
        Cancelled,
        Expired,
        FlowFailed,
        JobFailed,
        JobNotFound,
        QueueFull,
        RateExceeded,
        ResultGone,
        ResultTimeout,
        ScheduleNotFound,
        SignalTimeout,
        SoftTimeout,
        StreamqError,
        UniqueConflict,
        WrongCall,
        WrongResults,
    )
    from streamq.events import Event
    from streamq.flows.chains import Chain, Group, group
    from streamq.flows.flow import Flow, Step
    from streamq.flows.run import FlowState, Run
    from streamq.handlers import CallNext
    from streamq.job import Job, JobInfo, Progress
    from streamq.limits import Breaker, Limit
    from streamq.options import Backoff, Debounce, Throttle, Unique
    from streamq.outcomes import Dead, Outcome, RateLimited, Retry, Snooze
    from streamq.resources import Resource, resource
    from streamq.schedule import Schedule, ScheduleInfo
    from streamq.sending import Outgoing
    from streamq.states import State
    from streamq.strikes import Strike
    from streamq.task import Call, Task

__all__ = [
    "App",
    "Backoff",
    "BatchContext",
    "Breaker",
    "Call",
    "CallNext",
    "Cancelled",
    "Chain",
    "Config",
    "Context",
    "Dead",
    "Debounce",
    "Event",
    "Expired",
    "Flow",
    "FlowFailed",
    "FlowState",
    "Group",
    "Job",
    "JobFailed",
    "JobInfo",
    "JobNotFound",
    "Limit",
    "Outcome",
    "Outgoing",
    "Progress",
    "QueueFull",
    "RateExceeded",
    "RateLimited",
    "Resource",
    "ResultGone",
    "ResultTimeout",
    "Retry",
    "Run",
    "Schedule",
    "ScheduleInfo",
    "ScheduleNotFound",
    "SignalTimeout",
    "Snooze",
    "SoftTimeout",
    "State",
    "Step",
    "StreamqError",
    "Strike",
    "Task",
    "Throttle",
    "Unique",
    "UniqueConflict",
    "WrongCall",
    "WrongResults",
    "group",
    "resource",
]

_HOMES = {
    "group": "flows.chains",
    "Step": "flows.flow",
    "Run": "flows.run",
    "Group": "flows.chains",
    "FlowState": "flows.run",
    "FlowFailed": "errors",
    "Flow": "flows.flow",
    "Chain": "flows.chains",
    "App": "app",
    "Backoff": "options",
    "BatchContext": "context",
    "Breaker": "limits",
    "Call": "task",
    "CallNext": "handlers",
    "Cancelled": "errors",
    "Config": "config",
    "Context": "context",
    "Dead": "outcomes",
    "Debounce": "options",
    "Event": "events",
    "Expired": "errors",
    "Job": "job",
    "JobFailed": "errors",
    "JobInfo": "job",
    "JobNotFound": "errors",
    "Limit": "limits",
    "Outcome": "outcomes",
    "Outgoing": "sending",
    "Progress": "job",
    "QueueFull": "errors",
    "RateExceeded": "errors",
    "RateLimited": "outcomes",
    "Resource": "resources",
    "ResultGone": "errors",
    "ResultTimeout": "errors",
    "Retry": "outcomes",
    "Schedule": "schedule",
    "ScheduleInfo": "schedule",
    "ScheduleNotFound": "errors",
    "Snooze": "outcomes",
    "SignalTimeout": "errors",
    "SoftTimeout": "errors",
    "State": "states",
    "StreamqError": "errors",
    "Strike": "strikes",
    "Task": "task",
    "Throttle": "options",
    "Unique": "options",
    "UniqueConflict": "errors",
    "WrongCall": "errors",
    "WrongResults": "errors",
    "resource": "resources",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("streamq")
    if name not in _HOMES:
        raise AttributeError(f"module 'streamq' has no attribute {name!r}")
    value = getattr(import_module(f"streamq.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
