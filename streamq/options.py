"""The options of tasks and of single calls: written as keywords, checked where they are written, frozen afterwards.

``TaskWords`` and ``CallWords`` are what people write and what type checkers see; ``TaskOptions`` and ``CallOptions`` are
the checked values. A name that is no option is refused with the nearest one, a value with what can be written instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol, Self, TypedDict, Unpack, cast

from streamq.backoff import Backoff, BackoffRule, Delays, backoff_of
from streamq.config import Durability
from streamq.durations import Duration, seconds
from streamq.errors import BadPayload, ConfigError, error_types
from streamq.limits.declared import Breaker, By, Limit, check_breaker, check_lane, check_limits
from streamq.protocol.keys import JobId
from streamq.unique import Debounce, Rule, Throttle, Unique
from streamq.wire.limits import check_queue, check_tags, check_task

__all__ = [
    "DEFAULT_RESULT_TTL",
    "Backoff",
    "CallOptions",
    "CallWords",
    "Debounce",
    "Duration",
    "OptionWords",
    "Priority",
    "TaskOptions",
    "TaskWords",
    "Throttle",
    "Unique",
    "level",
    "moment",
    "seconds",
]

Priority = int | Literal["low", "normal", "high", "critical"]
DurabilityWord = Durability | Literal["memory", "aof", "replicated", "fsynced"]
Check = Callable[[str, Any], Any]  # an option's name and value -> the value as it is kept, or ConfigError

DEFAULT_RESULT_TTL = (
    60.0  # seconds that a result is kept which is not None, so that who asks a moment later gets it
)
DEFAULT_TIMEOUT = 300.0  # seconds
ATTEMPTS_MAX = 10_000
_LATEST = 9_999_999_999  # seconds since 1970; milliseconds of 13 digits
_RULES = ("unique", "throttle", "debounce")
_LEVELS: Mapping[str, int] = {"low": 2, "normal": 5, "high": 7, "critical": 9}


On = Literal["success", "failure", "any"]


class Parent(Protocol):
    """What another job can wait for: a Job, or a flow's Run."""

    @property
    def id(self) -> str: ...


class OptionWords(TypedDict, total=False):
    """Options of a task that one call may change. Durations as ``Duration``; None switches off."""

    queue: str
    priority: Priority
    attempts: int
    backoff: BackoffRule
    retry_for: Duration | None
    timeout: Duration | None
    soft_timeout: Duration | None
    expires: Duration | None
    result_ttl: Duration | None
    unique: Unique | None
    throttle: Throttle | None
    debounce: Debounce | None
    tags: Sequence[str]
    durability: DurabilityWord | None
    wait_for_room: Duration | None


class TaskWords(OptionWords, total=False):
    """Options of a task."""

    name: str
    no_retry: type[BaseException] | Sequence[type[BaseException]]
    isolate: bool
    settle_each: bool
    lane: By
    by_deadline: bool
    limits: Limit | Sequence[Limit]
    breaker: str | Breaker


class CallWords(OptionWords, total=False):
    """Options of one call, as ``using`` takes them."""

    delay: Duration
    at: datetime
    deadline: Duration | datetime
    after: Sequence[Parent | str] | Mapping[Parent | str, On]


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The options of a task, checked. Durations are in seconds.

    ``timeout`` None means that it may run for ever, ``result_ttl`` None that only those who already wait get the result
    (by default one that is not None is kept for a minute), ``durability`` None that the setting decides, ``wait_for_room``
    None that a full queue refuses at once. ``name`` is empty until the task gives its own.
    """

    queue: str = "default"
    priority: int = _LEVELS["normal"]
    attempts: int = 5
    backoff: Delays = field(default_factory=Backoff)
    retry_for: float | None = None
    timeout: float | None = DEFAULT_TIMEOUT
    soft_timeout: float | None = None
    expires: float | None = None
    result_ttl: float | None = DEFAULT_RESULT_TTL
    unique: Unique | None = None
    throttle: Throttle | None = None
    debounce: Debounce | None = None
    tags: tuple[str, ...] = ()
    durability: Durability | None = None
    wait_for_room: float | None = None
    name: str = ""
    no_retry: tuple[type[BaseException], ...] = ()
    isolate: bool = False
    settle_each: bool = False
    lane: By | None = None
    by_deadline: bool = False
    limits: tuple[Limit, ...] = ()
    breaker: Breaker | None = None

    def __post_init__(self) -> None:
        if self.soft_timeout is None or self.timeout is None:
            return
        if self.soft_timeout >= self.timeout:
            raise ConfigError(
                f"soft_timeout ({self.soft_timeout:g} s) must be below timeout ({self.timeout:g} s): "
                "it is the warning before it"
            )

    @classmethod
    def of(cls, **words: Unpack[TaskWords]) -> Self:
        """The options of a task from its keywords. Raises ConfigError."""
        return cls(**_with_one_rule(_checked(words, _OF_TASKS, "a task")))

    @property
    def rule(self) -> Rule | None:
        """What a second call with the same arguments means."""
        return self.unique or self.throttle or self.debounce

    def merged(self, call: CallOptions) -> Self:
        """These options with what one call changes. Raises ConfigError when they do not fit together."""
        return replace(self, **call.changes) if call.changes else self

    def received(self, carried: Mapping[str, Any]) -> Self:
        """These options with what a payload carries (see ``CallOptions.carried``). Raises BadPayload."""
        if not carried:
            return self
        try:
            return replace(self, **_checked(carried, _CARRIED, "a payload"))
        except ConfigError as error:
            raise BadPayload(f"the options of a payload cannot be used: {error}") from error


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What one call changes: checked ``changes`` of the task's options, and when it shall run.

    ``delay`` is in seconds, ``at`` a time with a zone; at most one of them is given. ``deadline``, either in seconds from
    now or a time, is when it is useless. ``after``: full ids of jobs or flows that must have ended before, and how.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    delay: float | None = None
    at: datetime | None = None
    deadline: float | datetime | None = None
    after: Mapping[str, On] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if _is_over(self.deadline, self.at) or _is_over(self.deadline, self.delay):
            raise ConfigError(f"deadline={self.deadline} is over before the job is due: give a later one")

    @classmethod
    def of(cls, **words: Unpack[CallWords]) -> Self:
        """The options of a call from its keywords. Raises ConfigError."""
        changes = _with_one_rule(_checked(words, _OF_CALLS, "a call"))
        delay, at, deadline = (changes.pop(name, None) for name in ("delay", "at", "deadline"))
        after = changes.pop("after", {})
        if delay is not None and at is not None:
            raise ConfigError("delay and at both say when a job runs: give one of them")
        if "backoff" in changes:
            _ = changes["backoff"].written
        return cls(changes, delay, at, deadline, after)

    def then(self, later: CallOptions) -> CallOptions:
        """These options changed once more, as in ``task.using(...).using(...)``."""
        timed = self if later.delay is None and later.at is None else later
        deadline = self.deadline if later.deadline is None else later.deadline
        after = later.after or self.after
        return CallOptions({**self.changes, **later.changes}, timed.delay, timed.at, deadline, after)

    @property
    def carried(self) -> dict[str, Any] | None:
        """What a worker must know of the changes, as plain data for the payload; None when there is nothing."""
        carried = {name: self.changes[name] for name in _CARRIED if name in self.changes}
        if "backoff" in carried:
            carried["backoff"] = carried["backoff"].written
        return carried or None


def level(priority: Priority) -> int:
    """The level, 0 to 9, of a priority. Raises ConfigError."""
    if isinstance(priority, str) and priority in _LEVELS:
        return _LEVELS[priority]
    if isinstance(priority, int) and not isinstance(priority, bool) and 0 <= priority <= 9:
        return priority
    raise ConfigError(
        f"priority={priority!r} is not a priority: use 0 to 9 (9 is most urgent) or {', '.join(map(repr, _LEVELS))}"
    )


def _checked(words: Mapping[str, Any], checks: Mapping[str, Check], whose: str) -> dict[str, Any]:
    """The words with checked values; one that is not in ``checks`` is refused with the nearest that is."""
    for name in words:
        if name not in checks:
            near = difflib.get_close_matches(str(name), checks, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(checks)}"
            raise ConfigError(f"{str(name)!r} is no option of {whose}; {hint}")
    return {name: checks[name](name, value) for name, value in words.items()}


def _with_one_rule(words: dict[str, Any]) -> dict[str, Any]:
    """The words, in which one rule of uniqueness takes the place of any other."""
    given = [name for name in _RULES if words.get(name) is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} each say what a second call means: give one of them")
    return words | {name: None for name in _RULES if given and name not in given}


def _span(name: str, value: Any) -> float | None:
    return None if value is None else _positive(name, value)


def _positive(name: str, value: Any) -> float:
    found = seconds(value, name)
    if found == 0:
        raise ConfigError(f"{name}=0 leaves no time: give a longer duration")
    return found


def _attempts(name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= ATTEMPTS_MAX:
        return value
    raise ConfigError(f"{name}={value!r}: it is 1 (no retry) to {ATTEMPTS_MAX:,}, the first run included")


def _switch(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigError(f"{name}={value!r}: it is True or False")


def _rule(kind: type[Rule], example: str) -> Check:
    def check(name: str, value: Any) -> Any:
        if value is None or isinstance(value, kind):
            return value
        raise ConfigError(f"{name}={value!r}: write {name}={example}")

    return check


def _durability(name: str, value: Any) -> Durability | None:
    try:
        return None if value is None else Durability(value)
    except ValueError:
        raise ConfigError(f"{name}={value!r}: it is one of {', '.join(Durability)}") from None


def _error_types(name: str, value: Any) -> tuple[type[BaseException], ...]:
    if types := error_types(value):
        return types
    raise ConfigError(f"{name}={value!r}: give exception classes, as in no_retry=[ValueError]")


def moment(name: str, value: Any) -> datetime:
    """A time with a zone, from 1970 to 2286. Raises ConfigError."""
    if not isinstance(value, datetime):
        raise ConfigError(f"{name}={value!r} is not a datetime; for a time from now use delay=")
    if value.utcoffset() is None:
        raise ConfigError(
            f"{name}={value.isoformat()} has no time zone, so it is not known when that is: "
            "use datetime.now(UTC) + …, or .replace(tzinfo=ZoneInfo(…))"
        )
    if not 0 <= value.timestamp() <= _LATEST:
        raise ConfigError(f"{name}={value.isoformat()} is out of range: it is from 1970 to 2286")
    return value


def _deadline(name: str, value: Any) -> float | datetime:
    return moment(name, value) if isinstance(value, datetime) else _positive(name, value)


def _after(name: str, value: Any) -> dict[str, On]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ConfigError(f"{name}={value!r:.60}: a list of jobs is due, as in after=[job]")
    pairs = value.items() if isinstance(value, Mapping) else [(one, "success") for one in value]
    edges: dict[str, On] = {}
    for one, on in pairs:
        if on not in ("success", "failure", "any"):
            raise ConfigError(f"{name}: {on!r} is no end of a job; success, failure or any is due")
        given = one if isinstance(one, str) else getattr(one, "id", None)
        if not isinstance(given, str):
            raise ConfigError(f"{name} has {one!r:.60}: jobs, flows that run, or ids of these are due")
        edges[str(JobId.parse(given))] = cast("On", on)
    return edges


def _is_over(deadline: float | datetime | None, due: float | datetime | None) -> bool:
    """Whether the deadline is not after the due time, where both are of one kind."""
    if isinstance(deadline, datetime) and isinstance(due, datetime):
        return deadline <= due
    return isinstance(deadline, float) and isinstance(due, float) and deadline <= due


_CARRIED: Mapping[str, Check] = {
    "attempts": _attempts,
    "backoff": lambda _, value: backoff_of(value),
    "retry_for": _span,
    "timeout": _span,
    "soft_timeout": _span,
    "result_ttl": _span,
}
_SHARED: Mapping[str, Check] = {
    "queue": lambda _, value: check_queue(value),
    "priority": lambda _, value: level(value),
    **_CARRIED,
    "expires": _span,
    "unique": _rule(Unique, 'Unique(by="argument")'),
    "throttle": _rule(Throttle, 'Throttle("10s", by="argument")'),
    "debounce": _rule(Debounce, 'Debounce("2s", by="argument", longest="30s")'),
    "tags": lambda _, value: check_tags(value),
    "durability": _durability,
    "wait_for_room": _span,
}
_OF_TASKS: Mapping[str, Check] = {
    **_SHARED,
    "name": lambda _, value: check_task(value),
    "no_retry": _error_types,
    "isolate": _switch,
    "settle_each": _switch,
    "lane": lambda _, value: check_lane(value),
    "by_deadline": _switch,
    "limits": lambda _, value: check_limits(value),
    "breaker": lambda _, value: check_breaker(value),
}
_OF_CALLS: Mapping[str, Check] = {
    **_SHARED,
    "delay": lambda name, value: seconds(value, name),
    "at": moment,
    "deadline": _deadline,
    "after": _after,
}
