"""What a task takes: its parameters without those that the worker fills in, and the check of a call against them.

The check is a generated function with the same parameters and no body, so Python itself does it, in about 0.1 µs.
Annotations are not read here, but for a Context in the wrong place: types are the type checkers' business, and names may
be imported for them only.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from inspect import Parameter
from typing import Any

from streamq.context import Context
from streamq.errors import ConfigError, WrongCall
from streamq.resources import Needed, Resource

__all__ = ["CONTEXT", "Signature", "declared_signature", "generate", "nearest"]

CONTEXT = "ctx"  # a first parameter of this name is the job's Context
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Signature:
    """What callers give (``parameters``, by ``names``), and what the worker adds (a context, ``resources`` by parameter).

    ``check(*args, **kwargs)`` raises the TypeError that the function itself would; ``bind`` returns the arguments
    by name, defaults included. ``shown`` is the text of the parameters, for error messages.
    """

    parameters: tuple[Parameter, ...]
    names: tuple[str, ...]
    wants_context: bool
    resources: Mapping[str, Resource[Any]]
    check: Callable[..., None]
    bind: Callable[..., dict[str, Any]]

    @property
    def shown(self) -> str:
        """The parameters as they are written, without annotations."""
        bare = [parameter.replace(annotation=Parameter.empty) for parameter in self.parameters]
        return str(inspect.Signature(bare))

    def wrong_call(
        self, task: str, error: TypeError, kwargs: Mapping[str, Any], options: Sequence[str]
    ) -> WrongCall:
        """The error for a refused call, with what was probably meant. ``options``: the words of ``using``."""
        said = str(error).partition(". Did you mean")[
            0
        ]  # Python 3.13 guesses too, but does not know our options
        said = said[said.find("(") :] if "(" in said else said
        hints = [self._hint(name, options) for name in kwargs if name not in self.names]
        return WrongCall(
            " ".join([f"{task}{said}.", *filter(None, hints), f"It takes {self.shown}. Nothing was sent."])
        )

    def _hint(self, name: str, options: Sequence[str]) -> str:
        if name in self.resources or name == CONTEXT:
            return f"'{name}' is filled in by the worker."
        if near := nearest(name, self.names):
            return f"Did you mean '{near}'?"
        return f"'{name}' is an option: use .using({name}=…)." if name in options else ""


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that is nearest to a wrong one, or an empty text."""
    return next(iter(get_close_matches(word, known, 1)), "")


def declared_signature(fn: Callable[..., Any], task: str, *, method: bool = False) -> Signature:
    """Read a function's parameters, once, when the task is declared. ``method``: skip ``self``.

    Raises ConfigError for parameters that could not be filled in unambiguously.
    """
    declared = _parameters(fn)[1 if method else 0 :]
    wants_context = bool(declared) and declared[0].name == CONTEXT and declared[0].kind in _POSITIONAL
    rest = declared[1:] if wants_context else declared
    if any(parameter.name == CONTEXT for parameter in rest):
        raise ConfigError(f"task {task}: 'ctx' must be the first parameter, given by position")
    for parameter in rest:
        if _is_context(parameter.annotation, fn):
            raise ConfigError(
                f"task {task}: the worker gives its Context to a first parameter 'ctx': rename '{parameter.name}'"
            )
    resources = {p.name: p.default.provider for p in rest if isinstance(p.default, Needed)}
    _refuse_ambiguous(task, rest, resources)
    given = tuple(parameter for parameter in rest if parameter.name not in resources)
    return Signature(
        given,
        tuple(parameter.name for parameter in given),
        wants_context,
        resources,
        generate(given, "None"),
        generate(given, "locals()"),
    )


def _is_context(annotation: Any, fn: Callable[..., Any]) -> bool:
    """Whether it names streamq's class, as itself or as a text."""
    if isinstance(annotation, str):
        annotation = getattr(inspect.unwrap(fn), "__globals__", {}).get(annotation)
    return annotation is Context


def _parameters(fn: Callable[..., Any]) -> list[Parameter]:
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return list(inspect.signature(fn, annotation_format=Format.STRING).parameters.values())
    return list(inspect.signature(fn).parameters.values())


def _refuse_ambiguous(task: str, parameters: Sequence[Parameter], resources: Mapping[str, Any]) -> None:
    """A resource is passed by name, so no argument that may come by position can stand behind it."""
    filled: str | None = None
    for parameter in parameters:
        if parameter.name in resources:
            filled = parameter.name
            if parameter.kind is Parameter.POSITIONAL_ONLY:
                raise ConfigError(f"task {task}: the resource '{filled}' must not be positional-only")
        elif filled and parameter.kind in (*_POSITIONAL, Parameter.VAR_POSITIONAL):
            raise ConfigError(
                f"task {task}: the resource '{filled}' stands before '{parameter.name}'; put resources last or behind a *"
            )


def generate(
    parameters: Sequence[Parameter], body: str, names: Mapping[str, Any] | None = None
) -> Callable[..., Any]:
    """A function with these parameters that returns the expression ``body``.

    There stand the ``names``, and the defaults as ``default_<parameter>``.
    """
    space = {
        **(names or {}),
        **{_default(p): p.default for p in parameters if p.default is not Parameter.empty},
    }
    bare = [p.replace(annotation=Parameter.empty, default=_written(p)) for p in parameters]
    exec(f"def call{inspect.Signature(bare)}: return {body}", space)  # noqa: S102 - names of parameters only
    generated: Callable[..., Any] = space["call"]
    return generated


def _default(parameter: Parameter) -> str:
    return f"default_{parameter.name}"


def _written(parameter: Parameter) -> Any:
    return Parameter.empty if parameter.default is Parameter.empty else _Name(_default(parameter))


class _Name(str):
    """Shown without quotes, so that a default is written as a name."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
