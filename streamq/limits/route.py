"""Into which lane a job goes, and what it costs: worked out once for a task, then a generated function of its arguments.

A lane is the ordered list of the job's limit keys, narrow ones first: ``tenant:acme|openai*``. A ``*`` behind a key says
that the job's own cost counts there, one token elsewhere. Jobs of one lane wait behind each other, and behind nobody else.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Final

from streamq.errors import ConfigError, WrongCall
from streamq.limits.declared import Breaker, By, Cost, Limit, lane_name
from streamq.limits.keys import QUEUE, VALUE_MAX, encoded
from streamq.limits.rule import Rule, number_text
from streamq.signature import generate, nearest

__all__ = ["KEYS_MAX", "LANE_MAX", "Route"]

KEYS_MAX: Final = 8
LANE_MAX: Final = 512  # bytes
_COST_LEAST, _COST_MOST = 0.001, 1e12
Pairs = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """One key of a task's lanes: the name, what gives its value (None: it has none), and whether the cost counts there."""

    name: str
    source: By | None
    metered: bool

    @property
    def rule_name(self) -> str:
        return self.name if self.source is None else f"{self.name}:*"

    @property
    def longest(self) -> int:
        """Bytes in a lane at most, with the bar behind it."""
        return len(self.name) + 2 + (0 if self.source is None else VALUE_MAX + 1)


@dataclass(frozen=True, slots=True)
class Route:
    """``pairs(*args, **kwargs)`` gives what an enqueue says of a job: ``lane`` and ``cost``, or nothing when no key is its.

    It raises WrongCall for a value that can be no key, and for a cost that is no number. ``rules`` are those of the
    task's keys, by the server's names.
    """

    pairs: Callable[..., Pairs]
    rules: dict[str, Rule]

    @classmethod
    def of(
        cls,
        task: str,
        parameters: Sequence[Parameter],
        lane: By | None,
        limits: Sequence[Limit],
        breaker: Breaker | None,
        *,
        whole: bool = False,
        by_deadline: bool = False,
    ) -> Route | None:
        """The route of a task; None when nothing limits it. Raises ConfigError.

        ``whole``: its queue has a limit too. ``by_deadline``: in their lane its jobs go by deadline, not by age.
        """
        parts = _parts(task, lane, limits, breaker, whole=whole)
        if not parts and not by_deadline:
            return None
        names = [parameter.name for parameter in parameters]
        made: dict[str, Any] = {"streamq_lane": _lane_maker(task, parts, "!" if by_deadline else "")}
        values = [
            _expression(task, part.source, f"streamq_by_{place}", names, made)
            for place, part in enumerate(parts)
        ]
        cost = _expression(task, _cost_of(task, limits), "streamq_cost", names, made)
        pairs = generate(
            parameters, f"streamq_lane({cost}, ({''.join(f'{value}, ' for value in values)}))", made
        )
        return cls(pairs, _rules(parts, limits, breaker))


def _parts(
    task: str, lane: By | None, limits: Sequence[Limit], breaker: Breaker | None, *, whole: bool
) -> list[_Part]:
    """Narrow keys first; a name that is used twice is one key."""
    wanted = [] if lane is None else [_Part(lane_name(lane), lane, False)]
    wanted += [_Part(one.name, one.by, one.cost is not None) for one in limits if one.by is not None]
    wanted += [] if breaker is None else [_Part(breaker.name, None, False)]
    wanted += [_Part(one.name, None, one.cost is not None) for one in limits if one.by is None]
    wanted += [_Part(QUEUE, None, False)] if whole else []
    parts: dict[str, _Part] = {}
    for part in wanted:
        known = parts.setdefault(part.rule_name, part)
        if known.source != part.source:
            raise ConfigError(
                f"task {task}: two of its limits are called {part.name} and have different keys; rename one"
            )
        parts[part.rule_name] = _Part(part.name, part.source, known.metered or part.metered)
    _check_length(task, list(parts.values()))
    return list(parts.values())


def _check_length(task: str, parts: Sequence[_Part]) -> None:
    if len(parts) > KEYS_MAX:
        raise ConfigError(
            f"task {task}: a job has at most {KEYS_MAX} limits, lane and breaker included; it has {len(parts)}"
        )
    if sum(part.longest for part in parts) > LANE_MAX:
        raise ConfigError(f"task {task}: the names of its limits are too long together; shorten some")


def _cost_of(task: str, limits: Sequence[Limit]) -> Cost | None:
    costs = [one.cost for one in limits if one.cost is not None]
    if any(cost != costs[0] for cost in costs):
        raise ConfigError(
            f"task {task}: its limits have different costs; a job has one, which counts in all that name it"
        )
    return costs[0] if costs else None


def _rules(parts: Sequence[_Part], limits: Sequence[Limit], breaker: Breaker | None) -> dict[str, Rule]:
    rules = {part.rule_name: Rule() for part in parts if part.name != QUEUE}
    for limit in limits:
        rules[limit.keyed_name] = rules[limit.keyed_name].joined(limit.name, limit.rule)
    if breaker is not None:
        rules[breaker.name] = rules[breaker.name].joined(breaker.name, breaker.rule)
    return rules


def _expression(
    task: str, source: By | Cost | None, name: str, names: Sequence[str], made: dict[str, Any]
) -> str:
    """What computes a value from the arguments ``names``; functions go into ``made``."""
    if isinstance(source, str):
        _check_argument(task, source, names, f"'{source}'")
        return source
    if not callable(source):
        return repr(source)
    made[name] = source
    return f"{name}({', '.join(_passed(task, source, names))})"


def _passed(task: str, function: Callable[..., Any], names: Sequence[str]) -> list[str]:
    """The arguments of a function that are named as those of the task."""
    shown = getattr(function, "__name__", repr(function))
    try:
        wanted = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise ConfigError(
            f"task {task}: the parameters of {shown} cannot be read; use a plain function"
        ) from None
    passed = []
    for parameter in wanted:
        if parameter.name not in names and parameter.default is not Parameter.empty:
            continue
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            continue
        _check_argument(task, parameter.name, names, f"'{parameter.name}' of {shown}")
        by_place = parameter.kind is Parameter.POSITIONAL_ONLY
        passed.append(parameter.name if by_place else f"{parameter.name}={parameter.name}")
    return passed


def _check_argument(task: str, name: str, names: Sequence[str], what: str) -> None:
    if name in names:
        return
    near = nearest(name, names)
    hint = f"did you mean '{near}'?" if near else f"it takes {', '.join(names) or 'none'}"
    raise ConfigError(f"task {task}: {what} names no argument of it; {hint}")


def _lane_maker(task: str, parts: Sequence[_Part], ending: str) -> Callable[[Any, tuple[Any, ...]], Pairs]:
    """From a cost and a value for each key to the pairs of a job, whose lane ends with ``ending``."""
    pieces = [
        (
            part.name if part.source is None else f"{part.name}:",
            "*" if part.metered else "",
            part.source,
            f"{task}: {part.name}",
        )
        for part in parts
    ]

    def lane(cost: Any, values: tuple[Any, ...]) -> Pairs:
        keys, is_metered = [], False
        for (start, star, source, what), value in zip(pieces, values, strict=True):
            text = "" if source is None else encoded(value, what)
            if text is not None:
                keys.append(start + text + star)
                is_metered = is_metered or star != ""
        name = "|".join(keys) + ending
        if not name:
            return ()
        priced = _cost_text(task, cost) if is_metered else "1"
        return ("lane", name) if priced == "1" else ("lane", name, "cost", priced)

    return lane


def _cost_text(task: str, cost: Any) -> str:
    if (
        isinstance(cost, bool)
        or not isinstance(cost, int | float)
        or not 0 <= cost <= _COST_MOST
        or math.isnan(cost)
    ):
        raise WrongCall(
            f"{task}: its cost is {cost!r:.60}; a number from 0 to {_COST_MOST:.0e} is due. Nothing was sent."
        )
    return number_text(max(round(cost, 3), _COST_LEAST))
