"""Reads the arguments of a job as they are typed: JSON where it is JSON, else plain text; ``name=value`` by name.

Where the task is known, a word becomes what its annotation asks for: ``7`` is a text for a ``str``, a number for an ``int``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_type_hints

import click

from streamq.errors import BadPayload, UnknownTask, WrongCall

if TYPE_CHECKING:
    from streamq.app import App
    from streamq.task import Task

__all__ = ["call_of", "json_or_text", "named_words", "task_named"]

_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_ANYTHING: Any = Any


def task_named(app: App, name: str) -> Task[..., Any]:
    """The task, or UnknownTask with those that the App has."""
    if name in app.tasks:
        return app.tasks[name]
    near = get_close_matches(name, app.tasks, 1)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(sorted(app.tasks)) or 'none'}"
    raise UnknownTask(f"the App has no task {name!r}; {hint}")


def call_of(words: Sequence[str], task: Task[..., Any] | None) -> tuple[list[Any], dict[str, Any]]:
    """The arguments by position and by name, as ``task`` wants them where it is known.

    A text with ``=`` by position is written as JSON: ``'"a=b"'``. Raises WrongCall for a word that fits no annotation.
    """
    by_place = [word for word in words if not _NAMED.fullmatch(word)]
    by_name = named_words([word for word in words if _NAMED.fullmatch(word)])
    names = task.signature.names if task else []
    kinds = _kinds(task) if task else {}
    args = [
        _value(word, name, kinds) for word, name in zip(by_place, _padded(names, len(by_place)), strict=False)
    ]
    return args, {name: _value(word, name, kinds) for name, word in by_name.items()}


def named_words(words: Sequence[str]) -> dict[str, str]:
    """The words behind ``name=``, by name."""
    found: dict[str, str] = {}
    for word in words:
        parts = _NAMED.fullmatch(word)
        if not parts:
            raise click.UsageError(f"{word!r} has not the form NAME=VALUE.")
        if parts[1] in found:
            raise click.UsageError(f"{parts[1]}= is given twice.")
        found[parts[1]] = parts[2]
    return found


def _value(word: str, name: str, kinds: Mapping[str, Any]) -> Any:
    from streamq.wire.convert import convert_to

    kind = kinds.get(name, _ANYTHING)
    read = json_or_text(word)
    try:
        convert_to(kind, read, name)
    except BadPayload as error:
        try:
            convert_to(kind, word, name)
        except BadPayload:
            raise WrongCall(f"{error}. Nothing was sent.") from None
        return word
    return read


def json_or_text(word: str) -> Any:
    """The value of a word: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(word)
    except ValueError:
        return word


def _kinds(task: Task[..., Any]) -> dict[str, Any]:
    """The annotations of the parameters; none when they cannot be read."""
    try:
        return get_type_hints(task.fn)
    except Exception:  # evaluating an annotation runs whatever its author wrote
        return {}


def _padded(names: Sequence[str], count: int) -> list[str]:
    """A name for each position; those beyond the parameters have none, and are refused by the task itself."""
    return [*names, *[""] * (count - len(names))]
