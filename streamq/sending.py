"""How the jobs of a task are put in: where to, and what the server and the worker are told beside the arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from streamq.config import Durability
from streamq.context import Running
from streamq.errors import ConfigError
from streamq.limits.route import Route
from streamq.options import CallOptions, TaskOptions
from streamq.protocol import Argument
from streamq.signature import nearest
from streamq.unique import Rule

__all__ = ["Outgoing", "OutgoingHook", "Sending", "Way"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A job that is about to be sent: ``arguments`` by name, defaults included. Hooks may add ``headers`` (texts)."""

    task: str
    queue: str
    arguments: Mapping[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


OutgoingHook = Callable[[Outgoing], None]


class Way(NamedTuple):
    """To which queue jobs go, how safely (None: as the settings say), and how many seconds one waits for room there."""

    queue: str
    durability: Durability | None = None
    wait_for_room: float | None = None


@dataclass(frozen=True, slots=True)
class Sending:
    """What all jobs of one task, or of one ``using``, have in common.

    ``pairs`` are the server's options (docs/protocol.md, enqueue), ``carried`` is what the worker reads of the call,
    ``route`` says from the arguments of each into which lane it goes. ``is_uniform``: nothing depends on the arguments.
    """

    call_options: CallOptions
    queue: str
    way: Way
    level: int
    pairs: tuple[Argument, ...]
    rule: Rule | None
    route: Route | None
    is_uniform: bool
    carried: dict[str, Any] | None

    @classmethod
    def of(
        cls,
        task: str,
        task_options: TaskOptions,
        call_options: CallOptions,
        names: Sequence[str],
        route: Callable[[str], Route | None],
    ) -> Sending:
        """From checked options; ``route`` gives that of a queue.

        Raises ConfigError when what a second call means cannot be so for this task or call.
        """
        merged = task_options.merged(call_options)
        if merged.rule:
            _check_names(task, merged.rule, names)
        if merged.debounce and (call_options.at is not None or call_options.delay is not None):
            raise ConfigError(
                f"task {task}: debounce says when the job runs, so delay and at cannot; "
                "leave them out, or switch it off for this call with debounce=None"
            )
        found = route(merged.queue)
        return cls(
            call_options,
            merged.queue,
            Way(merged.queue, merged.durability, merged.wait_for_room),
            merged.priority,
            _pairs(merged, call_options),
            merged.rule,
            found,
            merged.rule is None and found is None,
            call_options.carried,
        )

    def told(
        self, task: str, arguments: Mapping[str, Any], parent: Running | None, hooks: Sequence[OutgoingHook]
    ) -> tuple[dict[str, Any] | None, tuple[Argument, ...]]:
        """What one job carries, and its pairs, when they depend on its arguments, its parent, or hooks."""
        carried, pairs = dict(self.carried or {}), self.pairs
        if hooks:
            outgoing = Outgoing(task, self.queue, arguments)
            for hook in hooks:
                hook(outgoing)
            if outgoing.headers:
                carried["headers"] = {str(name): str(value) for name, value in outgoing.headers.items()}
        if parent:
            carried["parent"] = parent.id
            pairs += ("parent", parent.id)
        if self.rule:
            pairs += self.rule.pairs(task, arguments)
        return carried or None, pairs


def _check_names(task: str, rule: Rule, names: Sequence[str]) -> None:
    for name in rule.by:
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean '{near}'?" if near else f"it takes {', '.join(names) or 'none'}"
            raise ConfigError(
                f"task {task}: {type(rule).__name__}(by='{name}') names no argument of it; {hint}"
            )


def _pairs(options: TaskOptions, call: CallOptions) -> tuple[Argument, ...]:
    pairs: list[Argument] = []
    if call.at is not None:
        pairs += "at", round(call.at.timestamp() * 1000)
    if call.delay:
        pairs += "delay", _milliseconds(call.delay)
    if isinstance(call.deadline, datetime):
        pairs += "deadline", round(call.deadline.timestamp() * 1000)
    elif call.deadline is not None:
        pairs += "within", _milliseconds(call.deadline)
    if options.expires is not None:
        pairs += "expires", _milliseconds(options.expires)
    if call.after:
        pairs += "after", " ".join(f"{job}={on}" for job, on in call.after.items())
    if options.tags:
        pairs += "tags", ",".join(options.tags)
    return tuple(pairs)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
