"""Whether the arguments of a job are numbers and texts where its handler's annotations say so.

What Python and a type checker put in fits. What another language or a hand put in may not, and a handler that gets
``"1"`` for ``left: int`` goes wrong later and elsewhere. So a worker asks a generated function before each job: 0.13 µs
for two arguments, with the call of it (2026-11-24). Types that must be converted are the business of ``wire.convert``,
and what stands inside lists and dicts is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any, NamedTuple

from streamq.signature import generate
from streamq.wire.convert import convert_to, scalars_of

__all__ = ["Fitting", "fitting_of"]

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_SINGLE = (*_POSITIONAL, Parameter.KEYWORD_ONLY)


class _Expected(NamedTuple):
    """A parameter: its annotation, the types of values that fit it, and its default, which fits too."""

    kind: Any
    types: tuple[type, ...]
    default: Any


class Fitting:
    """The check of one handler. ``fits(*args, **kwargs)`` is false when ``mend`` is needed."""

    __slots__ = ("_expected", "_positional", "_task", "fits")

    def __init__(self, task: str, parameters: Sequence[Parameter], expected: dict[str, _Expected]) -> None:
        self._task, self._expected = task, expected
        self._positional = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
        self.fits: Callable[..., bool] = generate(parameters, *_condition(parameters, expected))
        self.fits.__qualname__ = task  # so it is called in the error of a call with too many arguments

    def mend(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The same list and dict, with what has another form brought into its own, as bytes in JSON. Raises BadPayload."""
        for place, name in enumerate(self._positional[: len(args)]):
            args[place] = self._mended(name, args[place])
        for name, value in kwargs.items():
            kwargs[name] = self._mended(name, value)
        return args, kwargs

    def _mended(self, name: str, value: Any) -> Any:
        expected = self._expected.get(name)
        if expected is None or type(value) in expected.types or value is expected.default:
            return value
        return convert_to(expected.kind, value, f"{self._task}: argument {name!r}")


def fitting_of(task: str, fn: Callable[..., Any], parameters: Sequence[Parameter]) -> Fitting | None:
    """The check for a handler with these parameters, or None when no annotation names a scalar type."""
    scalars = scalars_of(fn)
    expected = {
        p.name: _Expected(*scalars[p.name], p.default)
        for p in parameters
        if p.name in scalars and p.kind in _SINGLE
    }
    return Fitting(task, parameters, expected) if expected else None


def _condition(
    parameters: Sequence[Parameter], expected: dict[str, _Expected]
) -> tuple[str, dict[str, type]]:
    """The body of the generated function, and the names in it."""
    types = {f"__{one.__name__}": one for each in expected.values() for one in each.types}
    tests = []
    for parameter in parameters:
        if each := expected.get(parameter.name):
            choices = [f"{parameter.name}.__class__ is __{one.__name__}" for one in each.types]
            if parameter.default is not Parameter.empty:
                choices.append(f"{parameter.name} is default_{parameter.name}")
            tests.append(f"({' or '.join(choices)})")
    return " and ".join(tests), types
