"""How long a failed job waits before it runs again. Pure: chance and the error are passed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from streamq.durations import Duration, seconds
from streamq.errors import ConfigError

__all__ = ["Backoff", "BackoffRule", "ChosenDelays", "Delays", "FixedDelays", "backoff_of"]


_RANGES = {"first": (0, 1e6), "factor": (1, 10), "cap": (0, 1e8), "jitter": (0, 1)}


class Delays(Protocol):
    """What every backoff is in the end."""

    def delay(self, attempt: int, random: float, error: BaseException) -> float:
        """Seconds until the next run. ``attempt`` have been made (1 or more); ``random`` is from 0 to below 1."""
        ...

    @property
    def written(self) -> object:
        """The same as plain data, which ``backoff_of`` reads again. Raises ConfigError when it has no such form."""
        ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """``first`` seconds, times ``factor`` at each attempt, at most ``cap``; chance takes away up to ``jitter`` of it.

    The default is ``min(2**attempt, 300)`` seconds, of which a job waits between a half and the whole: jobs that failed
    together do not come back together.
    """

    first: float = 2.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ConfigError(f"Backoff({name}={value!r}): it is a number from {low:g} to {high:g}")

    def delay(self, attempt: int, random: float, error: BaseException | None = None) -> float:
        """Seconds until the next run, after ``attempt`` attempts (1 or more); ``random`` is from 0 to below 1."""
        grown = self.first * self.factor ** min(attempt - 1, 100)
        return min(grown, self.cap) * (1 - self.jitter * random)

    @property
    def written(self) -> object:
        """Its four numbers by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FixedDelays:
    """Seconds for the first, second … time; the last one goes on."""

    steps: tuple[float, ...]

    def delay(self, attempt: int, random: float, error: BaseException | None = None) -> float:
        """Seconds until the next run, after ``attempt`` attempts."""
        return self.steps[min(attempt, len(self.steps)) - 1]

    @property
    def written(self) -> object:
        """The seconds in a list."""
        return list(self.steps)


@dataclass(frozen=True, slots=True)
class ChosenDelays:
    """Asks a function of the task's author. What that function raises, ``delay`` raises too."""

    choose: Callable[[int, BaseException], Duration]

    def delay(self, attempt: int, random: float, error: BaseException) -> float:
        """Seconds until the next run, after ``attempt`` attempts, the last of which ended with ``error``."""
        return seconds(self.choose(attempt, error), "backoff")

    @property
    def written(self) -> object:
        """Never: code does not travel."""
        raise ConfigError(
            "a backoff function belongs to the task: for one call give a duration or a list of them"
        )


BackoffRule = (
    Backoff
    | FixedDelays
    | ChosenDelays
    | Duration
    | Sequence[Duration]
    | Callable[[int, BaseException], Duration]
)


def backoff_of(value: BackoffRule | Mapping[str, Any]) -> Delays:
    """The backoff that an option means: a ``Backoff``, a duration, a list of durations, a function, or a written form."""
    if isinstance(value, Backoff | FixedDelays | ChosenDelays):
        return value
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if callable(value):
        return ChosenDelays(value)
    if not isinstance(value, list | tuple):
        return FixedDelays((seconds(value, "backoff"),))  # type: ignore[arg-type]  # anything else is refused there
    if not value:
        raise ConfigError("backoff=[] says nothing: give one duration or more")
    return FixedDelays(tuple(seconds(step, "backoff") for step in value))


def _from_mapping(value: Mapping[str, Any]) -> Backoff:
    try:
        return Backoff(**value)
    except TypeError:
        raise ConfigError(f"backoff={dict(value)!r}: a Backoff has first, factor, cap and jitter") from None
