"""What a step will return, before it has: stands in the arguments of later steps, whole or in part.

To type checkers it is the result itself, so ``paid.output.amount`` has the type that the result's field has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from streamq.errors import WrongCall

if TYPE_CHECKING:
    from streamq.flows.flow import Step

__all__ = ["Output", "Use", "taken_out"]


class Output:
    """A part of a step's result: attributes and items lead further into it."""

    __slots__ = ("_path", "_step")

    def __init__(self, step: Step[Any], path: tuple[str | int, ...] = ()) -> None:
        self._step, self._path = step, path

    def __getattr__(self, name: str) -> Output:
        if name.startswith("_"):
            raise AttributeError(name)
        return Output(self._step, (*self._path, name))

    def __getitem__(self, key: str | int) -> Output:
        if isinstance(key, int) and key < 0:
            raise WrongCall(f"{self!r}[{key!r}]: a name, or a number from 0, is due")
        return Output(self._step, (*self._path, key))

    def __repr__(self) -> str:
        return ".".join([self._step.name, "output", *map(str, self._path)])

    def __iter__(self) -> NoReturn:
        raise WrongCall(
            f"{self!r} cannot be gone through: it is known only when its step has run. Pass it to a step"
        )

    def __bool__(self) -> NoReturn:
        raise WrongCall(
            f"{self!r} is neither true nor false yet: it is known only when its step has run. Use when="
        )


class Use(NamedTuple):
    """An output in arguments: where it stands, whose it is, and which part."""

    place: list[str | int]
    step: Step[Any]
    path: list[str | int]


def taken_out(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any], list[Use]]:
    """The arguments with None where outputs stood, and these. Lists, tuples and dicts are looked into."""
    uses: list[Use] = []
    plain = [_plain(value, [place], uses) for place, value in enumerate(args)]
    named = {name: _plain(value, [name], uses) for name, value in kwargs.items()}
    return plain, named, uses


def _plain(value: Any, place: list[str | int], uses: list[Use]) -> Any:
    kind = type(value)
    if kind is Output:
        uses.append(Use(place, value._step, list(value._path)))  # noqa: SLF001 - its own module
        return None
    before = len(uses)
    if kind is list or kind is tuple:
        found: Any = [_plain(one, [*place, i], uses) for i, one in enumerate(value)]
    elif kind is dict:
        found = {name: _plain(one, [*place, name], uses) for name, one in value.items()}
    else:
        return value
    return found if len(uses) > before else value
