"""Limits, breakers and lanes as they are written beside a task. All is checked where it is written.

A key that is the same for all jobs of a task needs only a name; ``by`` makes it one for each tenant, user or account:
it is the name of an argument, or a function of the arguments that its parameters name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from streamq.durations import Duration
from streamq.errors import ConfigError, error_types
from streamq.limits.keys import check_name
from streamq.limits.rule import Rule

__all__ = [
    "Breaker",
    "By",
    "Cost",
    "Limit",
    "Over",
    "check_breaker",
    "check_lane",
    "check_limits",
    "lane_rules",
]

By = str | Callable[..., object]
Cost = float | Callable[..., float]
Over = Literal["refuse", "drop"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that the jobs of a task share: with those of other tasks that name it, in one queue.

    ``rate`` is text: ``"60_000/min"``, ``"5/s"``, ``"100/min burst 20"``. Without ``burst``, a bucket holds what one
    second gives, and at least one token. A job takes ``cost`` tokens (1; a number, or a function of the arguments that
    it names). ``by`` makes it one limit for each value of an argument, or of a function of arguments; None is no key.
    ``slots``: jobs at a time. ``ordered``: a job that is retried or snoozed keeps its place, and its key waits for it
    (with one slot: strictly one after the other). ``most`` jobs and ``most_bytes`` may wait; one more is refused with
    QueueFull, or, with ``over="drop"``, the oldest of its lane is cancelled. Raises ConfigError.
    """

    name: str
    rate: str | None = None
    cost: Cost | None = None
    by: By | None = None
    slots: int | None = None
    ordered: bool = False
    most: int | None = None
    most_bytes: int | str | None = None
    over: Over | None = None
    rule: Rule = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, "Limit")
        by_words = Rule.of(
            self.name,
            slots=self.slots,
            ordered=self.ordered or None,
            most=self.most,
            bytes=self.most_bytes,
            over=self.over,
        )
        rated = Rule() if self.rate is None else Rule.parse(self.name, _text(self.name, self.rate))
        rule = rated.joined(self.name, by_words)
        if rule == Rule():
            raise ConfigError(
                f'Limit({self.name!r}) limits nothing: give a rate ("5/s"), slots, most or most_bytes'
            )
        object.__setattr__(self, "rule", _fitting(self.name, rule))
        _check_source(f"Limit({self.name!r})", "by", self.by)
        _check_cost(self.name, self.cost, rule)

    @property
    def keyed_name(self) -> str:
        """The server's name of its rule: that of all its keys, where ``by`` says so."""
        return f"{self.name}:*" if self.by is not None else self.name


@dataclass(frozen=True, slots=True)
class Breaker:
    """A circuit breaker, shared by all workers of a queue: when what it names fails, its jobs wait and spend no attempt.

    It opens after so many ``failures`` in a row (5), or when a share of ``errors`` (``"50%"``) of at least ``least`` runs
    within ``window`` failed. After ``open`` it lets single jobs out to probe: 1, then 2, 4, 8, 16, then all. ``on``:
    the exceptions that count (all, but those with which a handler gives up on purpose). Raises ConfigError.
    """

    name: str
    failures: int | None = None
    errors: float | str | None = None
    window: Duration | None = None
    least: int | None = None
    open: Duration = "30s"
    on: type[BaseException] | Sequence[type[BaseException]] = ()
    rule: Rule = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, "Breaker")
        if self.errors is None and (self.window is not None or self.least is not None):
            raise ConfigError(
                f'Breaker({self.name!r}): window and least are about a share: give errors="50%" too'
            )
        failures = 5 if self.failures is None and self.errors is None else self.failures
        rule = Rule.of(
            self.name,
            fails=failures,
            errors=self.errors,
            window=("1m" if self.window is None else self.window) if self.errors is not None else None,
            least=(10 if self.least is None else self.least) if self.errors is not None else None,
            open=self.open,
        )
        object.__setattr__(self, "rule", rule)
        object.__setattr__(self, "on", _counted_errors(self.name, self.on))

    def counts(self, error: BaseException) -> bool:
        """Whether a run that ended with ``error`` speaks against what the breaker names."""
        kinds: tuple[type[BaseException], ...] = tuple(self.on)  # type: ignore[arg-type]  # made one when it was checked
        return not kinds or isinstance(error, kinds) or isinstance(error.__cause__, kinds)


def check_lane(lane: object) -> By:
    """The option ``lane`` of a task, or ConfigError."""
    if lane is None:
        raise ConfigError('lane=None: leave it out, or give the name of an argument: lane="tenant"')
    _check_source("lane", "lane", lane)
    check_name(lane_name(lane), "lane")  # type: ignore[arg-type]  # just checked
    return lane  # type: ignore[return-value]


def check_limits(limits: object) -> tuple[Limit, ...]:
    """The option ``limits`` of a task, or ConfigError."""
    found = (
        (limits,) if isinstance(limits, Limit) else tuple(limits) if isinstance(limits, list | tuple) else ()
    )
    if not found or not all(isinstance(limit, Limit) for limit in found):
        raise ConfigError(f'limits={limits!r:.80}: give a list, as in limits=[Limit("openai", "60_000/min")]')
    return found


def check_breaker(breaker: object) -> Breaker:
    """The option ``breaker`` of a task, a name or a Breaker, or ConfigError."""
    if isinstance(breaker, Breaker):
        return breaker
    if isinstance(breaker, str):
        return Breaker(breaker)
    raise ConfigError(f'breaker={breaker!r:.80}: give a name, or a Breaker("stripe", failures=5, open="30s")')


def lane_name(lane: By) -> str:
    """What the lanes of a task are called: the argument's name, or the function's."""
    return lane if isinstance(lane, str) else getattr(lane, "__name__", "")


def lane_rules(
    name: str, weight: float | Mapping[str, float] | None, key_of: Callable[[str], str], **words: Any
) -> dict[str, Rule]:
    """The rules of ``app.lane``: one for all its keys, and one for each that has a weight of its own."""
    check_name(name, "lane")
    rate = words.pop("rate", None)
    shared = Rule.of(name, **words)
    if rate is not None:
        shared = Rule.parse(name, _text(name, rate)).joined(name, shared)
    if isinstance(weight, Mapping):
        own = {key_of(value): Rule.of(name, weight=each) for value, each in weight.items()}
    else:
        own, shared = {}, shared.joined(name, Rule.of(name, weight=weight))
    return {f"{name}:*": _fitting(name, shared), **own}


def _fitting(name: str, rule: Rule) -> Rule:
    """Words that mean nothing without another are refused."""
    if rule.burst is not None and rule.rate is None:
        raise ConfigError(f'limit {name}: a burst is one of a rate: write "5/s burst 20"')
    if rule.over is not None and rule.most is None and rule.bytes is None:
        raise ConfigError(
            f"limit {name}: over={rule.over} says what one job too many meets: give most or most_bytes"
        )
    return rule


def _text(name: str, rate: object) -> str:
    if isinstance(rate, str):
        return rate
    raise ConfigError(
        f'limit {name}: rate={rate!r:.60}: write it as text, like "5/s" or "60_000/min burst 500"'
    )


def _check_source(whose: str, option: str, source: object) -> None:
    if source is None or callable(source) or (isinstance(source, str) and source.isidentifier()):
        return
    raise ConfigError(
        f"{whose}: {option}={source!r:.60} is neither an argument's name nor a function of arguments"
    )


def _check_cost(name: str, cost: object, rule: Rule) -> None:
    if cost is None:
        return
    if rule.rate is None:
        raise ConfigError(f"Limit({name!r}): a cost is paid in tokens of a rate, and it has none")
    if not callable(cost) and (isinstance(cost, bool) or not isinstance(cost, int | float) or not cost > 0):
        raise ConfigError(
            f"Limit({name!r}): cost={cost!r:.60} is neither a number above 0 nor a function of arguments"
        )


def _counted_errors(name: str, value: Any) -> tuple[type[BaseException], ...]:
    kinds = error_types(value)
    if kinds or value == ():
        return kinds
    raise ConfigError(
        f"Breaker({name!r}): on={value!r:.60}: give exception classes, as in on=[ConnectionError]"
    )
