"""What an App says of schedules: those of its code, whose code that is, and the way to those that programs put in."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from streamq.errors import ConfigError
from streamq.task import Call, Task
from streamq.ticks.release import Release, app_name

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.declaring import ScheduleWords
    from streamq.schedule import Schedule, Schedules

__all__ = ["Scheduling"]

TaskT = TypeVar("TaskT", bound=Task[..., Any])


class Scheduling:
    """The part of an App that is about schedules. ``module``: the globals of the module that makes the App."""

    def __init__(self, name: str | None, module: dict[str, Any]) -> None:
        self.name = app_name(name, module)

    @overload
    def schedule(self, when: str, call: Call[Any], /, **words: Unpack[ScheduleWords]) -> Schedule: ...
    @overload
    def schedule(self, when: str, /, **words: Unpack[ScheduleWords]) -> Callable[[TaskT], TaskT]: ...
    def schedule(self, when: str, call: Any = None, /, **words: Any) -> Any:
        """Declare that a call runs at set times: ``app.schedule("every weekday at 9am Europe/Rome", report.call(7))``.

        Above ``@app.task``, ``@app.schedule("…")`` declares it for a task that needs no arguments. The workers that start
        with this code keep it on the server, under ``name`` (by default the task's), and remove what is no more declared.
        Raises BadSchedule for times that are not understood, WrongCall for a task that needs arguments, and ConfigError.
        """
        if call is not None:
            return self.schedules.declare(when, call, words)

        def declare(task: Any) -> Any:
            if not isinstance(task, Task):
                raise ConfigError(f"{task!r} is no task: write @app.schedule(…) above @app.task")
            self.schedules.declare(when, task.call(), words)
            return task

        return declare

    @cached_property
    def schedules(self) -> Schedules:
        """The schedules: those of the code, and those that are put in, found, listed."""
        from streamq.schedule import Schedules  # heavy, and many Apps have none

        return Schedules(cast("App", self))

    def release(self, queue: str) -> Release:
        """The schedules that the code declares in a queue, for a worker to offer."""
        return self.schedules.release(queue) if "schedules" in vars(self) else Release.empty(self.name)
