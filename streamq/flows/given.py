"""What a job of a flow carries beside its arguments: whose results go where, and its condition. Plain data in the payload.

Its ids are inside the payload, so where payloads are sealed, nobody can exchange a job's parents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamq.errors import BadPayload

__all__ = ["GIVEN", "Fill", "Given", "Parent", "Source", "When", "at_path", "flow_of", "put_at"]

GIVEN = "flow"  # the name under which a payload's options carry it
Path = list[str | int]


class Parent(msgspec.Struct, frozen=True, array_like=True):
    """A job whose result is wanted."""

    job: str
    task: str


class Fill(msgspec.Struct, frozen=True, array_like=True):
    """Where a result goes: ``place`` begins with an argument's number or name, ``path`` leads into the result."""

    place: Path
    parent: int
    path: Path = []


class Source(msgspec.Struct, frozen=True, array_like=True):
    """What a name of a condition stands for: an argument (``a``), a parent's result (``p``), a value (``v``)."""

    kind: str
    what: Any


class When(msgspec.Struct, frozen=True, array_like=True):
    """A condition. ``env``: the variables of the environment that it may see, as ``env.NAME``."""

    text: str
    names: dict[str, Source]
    env: list[str] = []


class _Form(msgspec.Struct, omit_defaults=True):
    id: str = ""
    parents: list[Parent] = []
    fills: list[Fill] = []
    when: When | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """``flow``: its full id, or an empty text for a job with parents and no flow."""

    flow: str = ""
    parents: Sequence[Parent] = ()
    fills: Sequence[Fill] = ()
    when: When | None = field(default=None)

    @property
    def carried(self) -> dict[str, Any]:
        """For the payload's options."""
        form = _Form(self.flow, list(self.parents), list(self.fills), self.when)
        built: dict[str, Any] = msgspec.to_builtins(form)
        return built

    @classmethod
    def read(cls, carried: Any) -> Given:
        """From a payload's options. Raises BadPayload."""
        try:
            form = msgspec.convert(carried, _Form)
        except msgspec.ValidationError as error:
            raise BadPayload(f"what a payload says of its flow cannot be used: {error}") from error
        if any(not 0 <= fill.parent < len(form.parents) or not fill.place for fill in form.fills):
            raise BadPayload("a payload names a parent of its flow that it has not")
        return cls(form.id, form.parents, form.fills, form.when)


def flow_of(carried: Mapping[str, Any]) -> str | None:
    """The id of the flow that a job belongs to, from what its payload carries."""
    given = carried.get(GIVEN)
    return (given.get("id") or None) if isinstance(given, Mapping) else None


def at_path(value: Any, path: Sequence[str | int]) -> Any:
    """What lies inside a plain value. Raises LookupError or TypeError."""
    for step in path:
        value = value[step]
    return value


def put_at(args: list[Any], kwargs: dict[str, Any], place: Sequence[str | int], value: Any) -> None:
    """Put a value into arguments. Raises LookupError or TypeError when there is no such place."""
    first, *inner = place
    target: Any = args if isinstance(first, int) else kwargs
    for step in place[:-1]:
        target = target[step]
    last = place[-1] if inner else first
    if isinstance(target, dict) or 0 <= int(last) < len(target):
        target[last] = value
        return
    raise IndexError(f"there is no argument {'.'.join(map(str, place))}")
