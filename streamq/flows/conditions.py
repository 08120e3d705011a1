"""Conditions of jobs: expressions of CEL, the Common Expression Language, which can compute and compare and nothing else.

They see what is named to them: a job's arguments, results of other steps, and ``env.NAME`` for listed variables of the
environment. Names, syntax and, as far as annotations say them, types are checked before anything is sent. CEL is
``common-expression-language``, which comes with ``streamq[conditions]``: 13 µs for a comparison (2026-11-24).
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from msgspec import inspect as shape

from streamq.errors import ConfigError, NotSupported, WrongCall
from streamq.signature import nearest

__all__ = ["Condition", "sample_of"]

TEXT_MAX = 1000  # characters
_UNKNOWN = object()


class Condition:
    """A compiled expression. ``names`` are what it refers to."""

    __slots__ = ("_program", "names", "text")

    def __init__(self, text: str) -> None:
        if not 0 < len(text) <= TEXT_MAX:
            raise ConfigError(
                f'when={text!r:.60}: an expression of 1 to {TEXT_MAX:,} characters is due, as in "amount > 0"'
            )
        self.text, self._program = text, _compiled(text)
        self.names = frozenset(self._program.variables())

    @classmethod
    def checked(cls, text: str, known: Collection[str]) -> Condition:
        """The condition. Raises ConfigError for what is no expression, or refers to something unknown."""
        made = cls(text)
        for name in sorted(made.names):
            if name not in known:
                near = nearest(name, sorted(known))
                hint = (
                    f"did you mean '{near}'?"
                    if near
                    else f"it may use {', '.join(sorted(known)) or 'no names here'}"
                )
                raise ConfigError(f"when={text!r}: '{name}' is unknown; {hint}")
        return made

    def try_with(self, samples: Mapping[str, Any]) -> None:
        """Evaluate it once with sample values, when there are such for all of its names. Raises ConfigError for wrong types."""
        if any(samples.get(name, _UNKNOWN) is _UNKNOWN for name in self.names):
            return
        try:
            self.holds({name: samples[name] for name in self.names})
        except WrongCall as error:
            raise ConfigError(str(error)) from error

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is true of these values. Raises WrongCall when it cannot be said."""
        try:
            found = self._program.execute(dict(values))
        except Exception as error:
            said = (
                f"it has no {error}" if isinstance(error, KeyError) else str(error).partition(". CEL does")[0]
            )
            raise WrongCall(f"when={self.text!r} cannot be evaluated: {said}") from error
        if not isinstance(found, bool):
            raise WrongCall(f"when={self.text!r} gives {found!r:.60}; true or false is due")
        return found


@lru_cache(maxsize=512)
def _compiled(text: str) -> Any:
    try:
        import cel
    except ImportError as error:
        raise NotSupported(
            'when= needs the library for conditions: pip install "streamq[conditions]"'
        ) from error
    try:
        return cel.compile(text)
    except ValueError as error:
        reason = str(error).partition("ERROR: <input>:")[2].partition("\n")[0]
        raise ConfigError(f"when={text!r} is no expression: {reason or error}") from error


def sample_of(kind: Any) -> Any:
    """A value of the annotated type as it looks on the wire; a marker when that cannot be known."""
    try:
        return _sample(shape.type_info(kind))
    except (TypeError, NameError, AttributeError):
        return _UNKNOWN


def _sample(info: shape.Type) -> Any:
    match info:
        case shape.BoolType():
            return True
        case shape.IntType():
            return 1
        case shape.FloatType():
            return 1.0
        case shape.StrType():
            return "a"
        case shape.BytesType():
            return b"a"
        case shape.DateTimeType():
            return datetime(2020, 1, 1, tzinfo=UTC)
        case shape.TimeDeltaType():
            return timedelta(seconds=1)
        case (
            shape.ListType(item_type=item)
            | shape.VarTupleType(item_type=item)
            | shape.SetType(item_type=item)
        ):
            inner = _sample(item)
            return _UNKNOWN if inner is _UNKNOWN else [inner]
        case (
            shape.DataclassType(fields=fields)
            | shape.TypedDictType(fields=fields)
            | shape.StructType(fields=fields)
        ):
            found = {one.encode_name: _sample(one.type) for one in typing.cast("tuple[Any, ...]", fields)}
            return _UNKNOWN if any(value is _UNKNOWN for value in found.values()) else found
    return _UNKNOWN
