"""Arguments and results as the annotations say: a text becomes a datetime, an array a set, a map a dataclass.

msgpack has no such types, so a worker gets plain values and converts those whose annotation asks for more. Annotations
that cannot be read (a name imported for type checkers only), and types that have no form on the wire, are left alone.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from types import CellType, SimpleNamespace
from typing import Any

import msgspec
from msgspec import inspect as shape

from streamq.errors import BadPayload

__all__ = ["Converter", "convert_to", "converter", "hints_of", "result_type", "scalars_of"]

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_PLAIN = (
    shape.AnyType(),
    shape.NoneType(),
    shape.BoolType(),
    shape.IntType(),
    shape.FloatType(),
    shape.StrType(),
    shape.BytesType(),
)

_SCALARS: dict[type[shape.Type], tuple[type, ...]] = {
    shape.NoneType: (type(None),),
    shape.BoolType: (bool,),
    shape.IntType: (int, bool),
    shape.FloatType: (float, int, bool),
    shape.StrType: (str,),
    shape.BytesType: (bytes,),
}


class Converter:
    """Converts the arguments of one function. Only parameters that need it cost anything."""

    __slots__ = ("_by_name", "_by_place", "_more", "_more_named", "_places", "_task")

    def __init__(self, task: str, parameters: list[Parameter], kinds: Mapping[str, Any]) -> None:
        """``kinds``: the type of each parameter that needs conversion."""
        positional = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
        named = [parameter.name for parameter in parameters if parameter.kind in _BY_NAME]
        self._task, self._places = task, len(positional)
        self._by_place = [(i, name, kinds[name]) for i, name in enumerate(positional) if name in kinds]
        self._by_name = {name: kinds.get(name) for name in named}  # None: as it is, whatever ** says
        self._more = _kind_of(Parameter.VAR_POSITIONAL, parameters, kinds)
        self._more_named = _kind_of(Parameter.VAR_KEYWORD, parameters, kinds)

    def __call__(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The same list and dict, converted in place. Raises BadPayload that names the parameter."""
        given = len(args)
        for place, name, kind in self._by_place:
            if place < given:
                args[place] = self._converted(name, args[place], kind)
        if self._more is not None:
            for place in range(self._places, given):
                args[place] = self._converted(f"number {place + 1}", args[place], self._more)
        for name, value in kwargs.items():
            kind = self._by_name.get(name, self._more_named)
            if kind is not None:
                kwargs[name] = self._converted(name, value, kind)
        return args, kwargs

    def _converted(self, name: str, value: Any, kind: Any) -> Any:
        return convert_to(kind, value, f"{self._task}: argument {name!r}")


def converter(fn: Callable[..., Any], hidden: frozenset[str] = frozenset()) -> Converter | None:
    """What converts the arguments of ``fn``, or None when no annotation asks for it.

    ``hidden``: parameters that callers do not give (``self``, ``ctx``, resources); the others keep their order.
    """
    parameters = [parameter for parameter in _parameters(fn) if parameter.name not in hidden]
    hints = hints_of(fn)
    kinds = {p.name: hints[p.name] for p in parameters if p.name in hints and _asks(hints[p.name])}
    return Converter(getattr(fn, "__name__", "task"), parameters, kinds) if kinds else None


def result_type(fn: Callable[..., Any]) -> Any:
    """The type that results of ``fn`` are converted to: its return annotation, or Any when there is nothing to convert."""
    kind = hints_of(fn).get("return", Any)
    return kind if _asks(kind) else Any


def scalars_of(fn: Callable[..., Any]) -> dict[str, tuple[Any, tuple[type, ...]]]:
    """The annotations that name numbers, texts, bytes or None, by parameter: each with the types of values that fit it."""
    found = {name: (kind, _scalar_types(kind)) for name, kind in hints_of(fn).items() if not _asks(kind)}
    return {name: (kind, types) for name, (kind, types) in found.items() if types}


def _scalar_types(kind: Any) -> tuple[type, ...]:
    """The types of values that fit; none when the kind is, or may be, something else than a scalar."""
    try:
        info = shape.type_info(kind)
    except (TypeError, NameError, AttributeError):
        return ()
    parts = info.types if isinstance(info, shape.UnionType) else (info,)
    if any(type(part) not in _SCALARS for part in parts):
        return ()
    return tuple(dict.fromkeys(one for part in parts for one in _SCALARS[type(part)]))


def convert_to(kind: Any, value: Any, what: object) -> Any:
    """A plain value as ``kind``. Raises BadPayload about ``what``."""
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
        raise BadPayload(f"{what} does not fit {_shown(kind)}: {error}") from error


def _kind_of(star: Any, parameters: list[Parameter], kinds: Mapping[str, Any]) -> Any:
    return next((kinds.get(parameter.name) for parameter in parameters if parameter.kind is star), None)


def _asks(kind: Any) -> bool:
    """Whether values must be converted to be of this kind, and can be."""
    try:
        info = shape.type_info(kind)
    except (TypeError, NameError, AttributeError):
        return False
    parts = list(_parts(info))
    return not any(isinstance(part, shape.CustomType) for part in parts) and any(
        part not in _PLAIN for part in parts
    )


def _parts(info: shape.Type) -> Iterator[shape.Type]:
    """The types that a type is made of: what stands inside list, dict and |, and everything else as it is."""
    match info:
        case shape.ListType(item_type=item, min_length=None, max_length=None):
            yield from _parts(item)
        case shape.DictType(key_type=key, value_type=value, min_length=None, max_length=None):
            yield from _parts(key)
            yield from _parts(value)
        case shape.UnionType(types=types):
            for one in types:
                yield from _parts(one)
        case (
            shape.SetType(item_type=item)
            | shape.FrozenSetType(item_type=item)
            | shape.VarTupleType(item_type=item)
        ):
            yield info
            yield from _parts(item)
        case shape.TupleType(item_types=types):
            yield info
            for one in types:
                yield from _parts(one)
        case shape.LiteralType():
            return
        case _:
            yield info


def hints_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations that can be resolved, by name; one that cannot does not spoil the others."""
    plain = inspect.unwrap(fn)
    plain = getattr(plain, "__func__", plain)
    space = getattr(plain, "__globals__", {})
    found: dict[str, Any] = {}
    for name, annotation in _annotations(plain).items():
        try:
            one = typing.get_type_hints(
                SimpleNamespace(__annotations__={name: annotation}),
                space,
                _enclosing(plain),
                include_extras=True,
            )
        except Exception:  # noqa: S112 - evaluating an annotation runs whatever its author wrote
            continue
        found.update(one)
    return found


def _enclosing(fn: Any) -> dict[str, Any]:
    """The names of enclosing functions that ``fn`` itself uses."""
    code, cells = getattr(fn, "__code__", None), getattr(fn, "__closure__", None) or ()
    names = code.co_freevars if code else ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=False) if cell != CellType()}


def _annotations(fn: Any) -> Mapping[str, Any]:
    if sys.version_info >= (3, 14):
        from annotationlib import Format, get_annotations

        return get_annotations(fn, format=Format.FORWARDREF)
    return inspect.get_annotations(fn)


def _parameters(fn: Callable[..., Any]) -> list[Parameter]:
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return list(inspect.signature(fn, annotation_format=Format.FORWARDREF).parameters.values())
    return list(inspect.signature(fn).parameters.values())


def _shown(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) else str(kind).replace("typing.", "")
