"""What an App says of limits: lanes and whole queues in code, use from outside of jobs, and changes at run time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from streamq.errors import ConfigError
from streamq.limiter import Limiter
from streamq.limits.declarations import Declarations
from streamq.limits.declared import Limit, Over, lane_rules
from streamq.limits.keys import MEMORY, QUEUE, key_of
from streamq.limits.rule import Rule
from streamq.steering import Limits
from streamq.wire.limits import check_queue

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.task import Task

__all__ = ["FlowControl"]


class FlowControl(ABC):
    """The part of an App that is about limits."""

    tasks: dict[str, Task[..., Any]]

    def __init__(self) -> None:
        self.declarations = Declarations()

    @abstractmethod
    def limits_changed(self, queue: str) -> None:
        """What puts jobs into this queue looks at its limits anew."""

    def lane(
        self,
        name: str,
        *,
        weight: float | Mapping[str, float] | None = None,
        rate: str | None = None,
        slots: int | None = None,
        ordered: bool = False,
        most: int | None = None,
        most_bytes: int | str | None = None,
        over: Over | None = None,
    ) -> None:
        """Declare what holds for each lane of a name: those of the tasks with ``lane="tenant"``, for example.

        ``weight`` is its share of the workers beside other lanes (1), or that of single ones, ``{"acme": 3}``. The rest is as in
        ``Limit``: so much of it for each tenant. Raises ConfigError.
        """
        rules = lane_rules(
            name,
            weight,
            lambda value: key_of(name, value, f"lane {name}: the weight's key"),
            rate=rate,
            slots=slots,
            ordered=ordered or None,
            most=most,
            bytes=most_bytes,
            over=over,
        )
        self.declarations.add(rules)
        for queue in self.declarations.queues_of(name):
            self.limits_changed(queue)

    def limit(
        self,
        *,
        queue: str,
        rate: str | None = None,
        slots: int | None = None,
        most: int | None = None,
        most_bytes: int | str | None = None,
        over: Over | None = None,
        memory: int | str | None = None,
    ) -> None:
        """Declare a limit of a whole queue, for the jobs of all its tasks; as in ``Limit``.

        ``memory``: above so many bytes of the whole server, the queue accepts no jobs (QueueFull). Raises ConfigError.
        """
        check_queue(queue)
        rules = _queue_rules(rate, memory, slots=slots, most=most, bytes=most_bytes, over=over)
        self.declarations.add_own(queue, rules)
        self.limits_changed(queue)
        for task in self.tasks.values():
            if task.queue == queue:
                task.reroute()

    def use_limits(self, queue: str, rules: Mapping[str, Rule]) -> None:
        """A queue has jobs with these limits. Raises ConfigError when something else was said of one of them."""
        self.declarations.add(rules)
        if self.declarations.use(queue, rules):
            self.limits_changed(queue)

    def limiter(self, limit: str | Limit, *, key: object = None, queue: str | None = None) -> Limiter:
        """A limit for use outside of jobs: the same tokens that jobs take. ``key``: the value, of one that has many.

        ``queue`` need not be said where the tasks of one queue use it. Raises ConfigError when it is not clear.
        """
        name = limit.name if isinstance(limit, Limit) else limit
        named = name if key is None else key_of(name, key, f"limiter {name}: its key")
        return Limiter(
            self._app, named, _only_queue(name, self.declarations.queues_of(name)) if queue is None else queue
        )

    def limits(self, queue: str = "default") -> Limits:
        """The limits of a queue at run time: look at them, change them without a deployment, stop and reset them."""
        return Limits(self._app, check_queue(queue))

    @property
    def _app(self) -> App:
        return cast("App", self)


def _queue_rules(rate: str | None, memory: int | str | None, **words: Any) -> dict[str, Rule]:
    rated = Rule() if rate is None else Rule.parse(QUEUE, rate)
    rules = {QUEUE: rated.joined(QUEUE, Rule.of(QUEUE, **words)), MEMORY: Rule.of(MEMORY, bytes=memory)}
    said = {name: rule for name, rule in rules.items() if rule != Rule()}
    if not said:
        raise ConfigError("app.limit(queue=…) limits nothing: give a rate, slots, most, most_bytes or memory")
    return said


def _only_queue(name: str, queues: list[str]) -> str:
    if len(queues) == 1:
        return queues[0]
    used = f"the queues {', '.join(queues)} have it" if queues else "no task of this App has it"
    raise ConfigError(f"limiter {name}: {used}; say which is meant: app.limiter({name!r}, queue=…)")
