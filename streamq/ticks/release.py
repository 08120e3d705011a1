"""A release: one version of the schedules that the code of an App declares in a queue, and what became of offering it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from streamq.errors import ConfigError, WrongState
from streamq.protocol import Flow
from streamq.protocol import schedules as calls
from streamq.protocol.schedules import NO_DECLARATIONS, Offered, Source

if TYPE_CHECKING:
    from streamq.ticks.definition import Definition

__all__ = ["Release", "Synced", "app_name", "declare", "put_at"]

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_UNUSABLE = re.compile(r"[^A-Za-z0-9_.:-]")


@dataclass(frozen=True, slots=True)
class Release:
    """Of ``app``. ``digest`` tells versions apart; ``definitions`` packs the calls anew."""

    app: str
    digest: str
    names: Sequence[str]
    definitions: Callable[[], Iterable[Definition]]

    @classmethod
    def empty(cls, app: str) -> Self:
        """Code that declares nothing."""
        return cls(app, NO_DECLARATIONS, (), tuple)


class Synced(NamedTuple):
    """What became of a release: the server's verdict, the names that it keeps, those that it refused and why, and how many
    others of the app were removed."""

    verdict: str
    kept: Sequence[str] = ()
    refused: Mapping[str, str] = {}
    removed: int = 0


def app_name(given: str | None, module: Mapping[str, Any]) -> str:
    """Whose code it is: ``given``, else the module that makes the App, called alike when it is imported and when it is run.

    Raises ConfigError for a name that cannot be used.
    """
    if given is not None:
        if not _NAME.fullmatch(given):
            raise ConfigError(f"name={given!r} cannot name an App: use 1 to 128 letters, digits and _ . : -")
        return given
    name: str = module.get("__name__", "app")
    if name == "__main__":
        spec, file = module.get("__spec__"), module.get("__file__") or "main"
        name = spec.name.removesuffix(".__main__") if spec else Path(file).stem
    return _UNUSABLE.sub("-", name)[:128] or "app"


def declare(anchor: str, now: int, release: Release) -> Flow[Synced]:
    """Make the code's schedules the server's, unless newer code is here: put all, and remove what it declared before.

    A name that belongs to somebody else is left out and said.
    """
    offered: Offered = yield calls.offer(anchor, now, release.app, release.digest)
    if offered.verdict != "apply":
        return Synced(offered.verdict)
    refused: dict[str, str] = {}
    for definition in release.definitions():
        try:
            yield from put_at(anchor, now, "code", definition, offered.now)
        except WrongState as error:
            refused[definition.name] = str(error)
    kept = [name for name in release.names if name not in refused]
    removed: int = yield calls.keep(anchor, now, release.app, release.digest, kept)
    return Synced("apply", kept, refused, removed)


def put_at(anchor: str, now: int, source: Source, definition: Definition, clock: int) -> Flow[bool]:
    """Keep a schedule whose next time is the first after ``clock``. Raises WrongState for a taken name."""
    place = definition.times.place_after(clock)
    new: bool = yield calls.put(anchor, now, definition.name, source, place, definition.fields)
    return new
