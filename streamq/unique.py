"""Unique keys: only one job with the same values of the named arguments may exist at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

from streamq.durations import Duration, seconds
from streamq.errors import ConfigError, WrongCall
from streamq.wire.codec import UNENCODABLE, canonical, why_not

__all__ = ["Unique"]

_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Unique:
    """One job at a time for each combination of the arguments that ``by`` names.

    The key is held ``until`` the job is ``"done"`` (the default; also when it gave up or was cancelled), until its
    ``"start"``, or for a duration from its enqueue. When another job holds it, ``on_conflict`` says whether the id of
    that job is given back (``"existing"``) or ``UniqueConflict`` is raised (``"reject"``).
    """

    by: str | Sequence[str]
    until: Literal["done", "start"] | Duration = "done"
    on_conflict: Literal["existing", "reject"] = "existing"

    def __post_init__(self) -> None:
        names = (self.by,) if isinstance(self.by, str) else tuple(self.by)
        if not names or not all(str(name).isidentifier() for name in names):
            raise ConfigError(f"Unique(by={self.by!r}): name one or more arguments of the task")
        if self.until not in {"done", "start"} and seconds(self.until, "Unique until") == 0:
            raise ConfigError('Unique(until=0) would hold nothing: use "done", "start" or a longer duration')
        if self.on_conflict not in {"existing", "reject"}:
            raise ConfigError(f'Unique(on_conflict={self.on_conflict!r}): use "existing" or "reject"')
        object.__setattr__(self, "by", names)

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments that make the key."""
        return tuple(self.by)

    @property
    def until_text(self) -> str:
        """``done``, ``start`` or milliseconds, as the protocol wants it."""
        if self.until in {"done", "start"}:
            return str(self.until)
        return str(max(1, round(seconds(self.until) * 1000)))

    def key(self, task: str, arguments: Mapping[str, Any]) -> str:
        """The key of a call: the task's name and a digest of the named arguments, equal wherever it is computed.

        ``arguments`` holds all arguments by name, defaults included. Raises WrongCall for one that has no stable form.
        """
        missing = [name for name in self.names if name not in arguments]
        if missing:
            raise WrongCall(
                f"{task}: Unique(by='{missing[0]}') names no argument; it has {', '.join(arguments)}"
            )
        chosen = {name: arguments[name] for name in self.names}
        try:
            content = canonical(chosen)
        except UNENCODABLE as error:
            raise WrongCall(f"{task}: its unique key {why_not(chosen, error)}") from error
        return f"{task}:{blake2b(content, digest_size=_KEY_BYTES).hexdigest()}"
