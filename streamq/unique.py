"""Uniqueness over time: what a second call with the same values of some arguments means. ``Unique``, ``Throttle`` and
``Debounce`` are three answers; the server decides by them when a job comes in (docs/protocol.md, unique keys)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Literal

from streamq.durations import Duration, seconds
from streamq.errors import ConfigError, WrongCall
from streamq.protocol.call import Argument
from streamq.wire.codec import UNENCODABLE, canonical, why_not

__all__ = ["Debounce", "Rule", "Throttle", "Unique"]

_KEY_BYTES = 16
_PARTS = ("arguments", "time", "priority")
Part = Literal["arguments", "time", "priority"]


@dataclass(frozen=True, slots=True)
class Unique:
    """One job at a time for each combination of the arguments that ``by`` names; without any, one of the task.

    The key is held ``until`` the job is ``"done"`` (the default; also when it gave up or was cancelled), or until its
    ``"start"``. ``on_conflict`` says what another call means meanwhile:

    * ``"existing"`` (default): it gets the job that is there.
    * ``"reject"``: it raises ``UniqueConflict``.
    * ``"replace"``: the job that waits gets the arguments, the priority, and where one is given the time of this call;
      or exactly what ``replace`` names of ``"arguments"``, ``"time"`` and ``"priority"`` (no time given: now). One that
      runs is kept as it is.
    * ``"latest"``: as ``"replace"`` while it waits. While it runs, one more job waits for its end, whatever that is, with
      the arguments of the last call.
    """

    by: str | Sequence[str] = ()
    until: Literal["done", "start"] = "done"
    on_conflict: Literal["existing", "reject", "replace", "latest"] = "existing"
    replace: Part | Sequence[Part] | None = None
    _ways: ClassVar[tuple[str, ...]] = ("existing", "reject", "replace", "latest")

    def __post_init__(self) -> None:
        _keep_names(self)
        if self.until not in {"done", "start"}:
            raise ConfigError(
                f'Unique(until={self.until!r}): use "done" or "start"; '
                f"for a time from the first call, throttle=Throttle({self.until!r}, by=…)"
            )
        _check_way(self, self._ways)
        if self.on_conflict == "latest" and self.until == "start":
            raise ConfigError(
                'Unique(until="start", on_conflict="latest"): its key is free while the job runs, so nothing could '
                'follow it; use until="done", or on_conflict="replace"'
            )
        if self.replace is not None:
            object.__setattr__(self, "replace", self._checked_parts())

    def _checked_parts(self) -> tuple[str, ...]:
        parts = _names(self.replace)
        if self.on_conflict != "replace":
            raise ConfigError(f'Unique(replace={self.replace!r}) goes with on_conflict="replace"')
        if not parts or not set(parts) <= set(_PARTS):
            raise ConfigError(f"Unique(replace={self.replace!r}): name some of {', '.join(_PARTS)}")
        return parts

    def pairs(self, task: str, arguments: Mapping[str, Any]) -> tuple[Argument, ...]:
        """What the server is told of a call. Raises WrongCall, see ``key_of``."""
        parts = ("replace", ",".join(_names(self.replace))) if self.replace else ()
        key = key_of(self, task, arguments)
        return ("unique", key, "until", self.until, "on_conflict", self.on_conflict, *parts)


@dataclass(frozen=True, slots=True)
class Throttle:
    """The first call wins: at most one job starts to exist in each ``window``, for each combination of the arguments that
    ``by`` names.

    The window begins with the first call. Later calls in it get that job, also when it has ended already, or raise
    ``UniqueConflict`` where ``on_conflict`` is ``"reject"``.
    """

    window: Duration
    by: str | Sequence[str] = ()
    on_conflict: Literal["existing", "reject"] = "existing"
    _ways: ClassVar[tuple[str, ...]] = ("existing", "reject")

    def __post_init__(self) -> None:
        _keep_names(self)
        _check_way(self, self._ways)
        _span(self, "window", self.window)

    def pairs(self, task: str, arguments: Mapping[str, Any]) -> tuple[Argument, ...]:
        """What the server is told of a call. Raises WrongCall, see ``key_of``."""
        key, window = key_of(self, task, arguments), _span(self, "window", self.window)
        return ("unique", key, "until", window, "on_conflict", self.on_conflict)


@dataclass(frozen=True, slots=True)
class Debounce:
    """The last call wins: the job runs when nobody has called for ``wait``, with the arguments of the last call, for each
    combination of the arguments that ``by`` names.

    It runs ``longest`` after the first call at the latest; without that, calls that do not end put it off for ever.
    All callers get the same job. When it has started, the next call makes a new one.
    """

    wait: Duration
    by: str | Sequence[str] = ()
    longest: Duration | None = None

    def __post_init__(self) -> None:
        _keep_names(self)
        wait = _span(self, "wait", self.wait)
        if self.longest is not None and _span(self, "longest", self.longest) < wait:
            raise ConfigError(
                f"Debounce(longest={self.longest!r}) is below its wait, {self.wait!r}: give a longer one"
            )

    def pairs(self, task: str, arguments: Mapping[str, Any]) -> tuple[Argument, ...]:
        """What the server is told of a call. Raises WrongCall, see ``key_of``."""
        longest = () if self.longest is None else ("longest", _span(self, "longest", self.longest))
        return ("unique", key_of(self, task, arguments), "debounce", _span(self, "wait", self.wait), *longest)


Rule = Unique | Throttle | Debounce


def key_of(rule: Rule, task: str, arguments: Mapping[str, Any]) -> str:
    """The key of a call: the task's name and a digest of the named arguments, equal wherever it is computed.

    ``arguments`` holds all arguments by name, defaults included. Raises WrongCall for one that has no stable form.
    """
    kind, names = type(rule).__name__, _names(rule.by)
    missing = [name for name in names if name not in arguments]
    if missing:
        raise WrongCall(f"{task}: {kind}(by='{missing[0]}') names no argument; it has {', '.join(arguments)}")
    chosen = {name: arguments[name] for name in names}
    try:
        content = canonical(chosen)
    except UNENCODABLE as error:
        raise WrongCall(f"{task}: its unique key {why_not(chosen, error)}") from error
    return f"{task}:{blake2b(content, digest_size=_KEY_BYTES).hexdigest()}"


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _keep_names(rule: Rule) -> None:
    names = _names(rule.by)
    if not all(str(name).isidentifier() for name in names):
        raise ConfigError(f"{type(rule).__name__}(by={rule.by!r}): name arguments of the task")
    object.__setattr__(rule, "by", names)


def _check_way(rule: Unique | Throttle, ways: Sequence[str]) -> None:
    if rule.on_conflict not in ways:
        said = ", ".join(f'"{way}"' for way in ways)
        raise ConfigError(f"{type(rule).__name__}(on_conflict={rule.on_conflict!r}): use one of {said}")


def _span(rule: Rule, name: str, value: Duration) -> int:
    """A length of time in milliseconds."""
    found = seconds(value, f"{type(rule).__name__} {name}")
    if found == 0:
        raise ConfigError(f"{type(rule).__name__}({name}=0) leaves no time: give a longer duration")
    return max(1, round(found * 1000))
