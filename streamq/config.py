"""All settings of streamq in one frozen value, each with the place it came from.

A setting is taken from the first place that has it: an argument, the environment (``STREAMQ_URL``), a ``.env`` file,
``[tool.streamq]`` in pyproject.toml, its default. Nothing is read when this module is imported; ``Config.load`` reads
once, and what it returns does not change. A name that is no setting is refused with the nearest one that is.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_origin, get_type_hints

from streamq.durations import seconds
from streamq.errors import ConfigError

__all__ = ["PREFIX", "Config", "Durability", "Setting", "project_folder", "redacted"]

PREFIX = "STREAMQ_"
_PASSWORD = re.compile(r"(://[^:@/]*:).*@")
_HIDDEN = "***"
_LEVELS = ("debug", "info", "warning", "error")


class Durability(StrEnum):
    """What an accepted job survives, each level more than the one before it."""

    MEMORY = "memory"  # the end of a producer or worker
    AOF = (
        "aof"  # also the end of the server, but for the last two seconds before a kill when its disk is slow
    )
    REPLICATED = "replicated"  # also the loss of the server's machine: a replica has it
    FSYNCED = "fsynced"  # also a power cut: it is on the disk


class Setting(NamedTuple):
    """A setting for people: its value as text, secrets hidden, and where the value came from."""

    name: str
    value: str
    source: str
    help: str


def project_folder(start: Path | None = None) -> Path:
    """The nearest folder at or above ``start`` (default: the current one) with a pyproject.toml or .git, else ``start``."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file() or (folder / ".git").exists():
            return folder
    return start


def redacted(url: str) -> str:
    """The URL without its password."""
    return _PASSWORD.sub(rf"\1{_HIDDEN}@", url)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("is not text")


def _duration(value: Any) -> float:
    length = seconds(value)
    if length == 0:
        raise ValueError("must be above 0 seconds")
    return length


def _count(lowest: int, highest: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        try:
            number = int(str(value))
        except ValueError:
            raise ValueError("must be a whole number") from None
        if not lowest <= number <= highest:
            raise ValueError(f"must be from {lowest:,} to {highest:,}")
        return number

    return parse


def _one_of(*names: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if str(value) not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return str(value)

    return parse


def _durability(value: object) -> Durability:
    return Durability(_one_of(*Durability)(value))


def _namespace(value: object) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", str(value)):
        raise ValueError("must be 1 to 64 letters, digits, dots, dashes or underscores")
    return str(value)


def _path(value: object) -> Path:
    return Path(str(value)).expanduser()


class _About(NamedTuple):
    """How a setting is read, and what it is for."""

    parse: Callable[[object], Any]
    help: str


@dataclass(frozen=True, slots=True, repr=False)
class Config:
    """The settings. ``Config(lease=10)`` takes the rest from the defaults, ``Config.load(lease=10)`` from everywhere."""

    url: Annotated[str | None, _About(_text, "the server; without it, the embedded one of the project")] = (
        None
    )
    namespace: Annotated[str, _About(_namespace, "first part of every key; one for each environment")] = "sq"
    app: Annotated[str | None, _About(_text, "the module of the App, as in shop or shop:app")] = None
    keys: Annotated[str | None, _About(_text, "payload keys id:base64, newest first, or a file of them")] = (
        None
    )
    durability: Annotated[Durability, _About(_durability, "what an enqueue waits for")] = Durability.AOF
    lease: Annotated[
        float, _About(_duration, "seconds a worker may be silent before others take its jobs")
    ] = 30.0
    workers: Annotated[int, _About(_count(0, 1_000), "worker processes; 0 is one for each processor")] = 0
    concurrency: Annotated[int, _About(_count(1, 10_000), "jobs that one worker process runs at a time")] = (
        100
    )
    inline_max: Annotated[
        int, _About(_count(64, 2**20), "bytes above which a payload moves into its record")
    ] = 8_192
    payload_max: Annotated[int, _About(_count(64, 2**22), "bytes above which a payload is refused")] = 2**20
    compress_above: Annotated[int, _About(_count(0, 2**22), "bytes above which compression is tried")] = 1_024
    connect_timeout: Annotated[float, _About(_duration, "seconds to wait for a connection")] = 5.0
    reply_timeout: Annotated[float, _About(_duration, "seconds to wait for an answer of the server")] = 10.0
    reconnect_for: Annotated[
        float, _About(_duration, "seconds in which a call whose connection broke is repeated")
    ] = 5.0
    data: Annotated[Path, _About(_path, "folder of the embedded server, seen from the project")] = Path(
        ".streamq"
    )
    health_host: Annotated[str, _About(_text, "address of that port; 0.0.0.0 is all of the machine's")] = (
        "127.0.0.1"
    )
    health_port: Annotated[int, _About(_count(0, 65_535), "port for liveness and readiness; 0 is none")] = 0
    log: Annotated[str, _About(_one_of("text", "json"), "form of the log: for people or for machines")] = (
        "text"
    )
    log_level: Annotated[str, _About(_one_of(*_LEVELS), "least level that is logged")] = "info"
    project: Path = field(default_factory=project_folder, kw_only=True)
    sources: Mapping[str, str] = field(default_factory=dict, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        for name, about in _settings().items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, self._parsed(name, about, value))

    @classmethod
    def load(
        cls, *, project: Path | None = None, environment: Mapping[str, str] | None = None, **given: Any
    ) -> Config:
        """Read all places. ``given`` are arguments, of which None means "not given".

        Raises ConfigError for a value that cannot be used and for a name that is no setting.
        """
        project = project or project_folder()
        places = _places(project, os.environ if environment is None else environment)
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source, found in (
            *places,
            ("argument", {name: value for name, value in given.items() if value is not None}),
        ):
            for name, value in found.items():
                _check_name(name, source)
                values[name], sources[name] = value, _source(name, source)
        return cls(**values, project=project, sources=sources)

    def source(self, name: str) -> str:
        """Where a setting came from: ``argument``, ``STREAMQ_URL``, ``.env``, ``pyproject.toml`` or ``default``."""
        return self.sources.get(name, "default")

    @property
    def data_folder(self) -> Path:
        """Where the embedded server keeps its files."""
        return self.project / self.data

    def describe(self) -> list[Setting]:
        """Every setting in order, for ``streamq config``; no secret is shown."""
        return [
            Setting(name, self._shown(name), self.source(name), about.help)
            for name, about in _settings().items()
        ]

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{name}={self._shown(name)!r}' for name in _settings())})"

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        if value is None:
            return ""
        if name == "keys":
            return _HIDDEN
        return redacted(value) if name == "url" else str(value)

    def _parsed(self, name: str, about: _About, value: object) -> Any:
        try:
            return about.parse(value)
        except ValueError as error:
            shown = _HIDDEN if name in {"keys", "url"} else repr(value)
            raise ConfigError(
                f"{name} is {shown} ({self.source(name)}): {error}. It is: {about.help}"
            ) from None


@cache
def _settings() -> dict[str, _About]:
    hints = get_type_hints(Config, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if get_origin(hint) is Annotated}


def _places(project: Path, environment: Mapping[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """What each place says, the weakest first."""
    return [
        ("pyproject.toml", _pyproject(project / "pyproject.toml")),
        (".env", _prefixed(_dotenv(project / ".env"))),
        ("environment", _prefixed(environment)),
    ]


def _pyproject(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text()).get("tool", {}).get("streamq", {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    return {name.replace("-", "_"): value for name, value in table.items()}


def _dotenv(path: Path) -> Mapping[str, str | None]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return dotenv_values(path)


def _prefixed(values: Mapping[str, str | None]) -> dict[str, Any]:
    """The settings among environment variables; an empty one counts as not set."""
    return {
        name.removeprefix(PREFIX).lower(): text
        for name, text in values.items()
        if name.startswith(PREFIX) and text
    }


def _source(name: str, place: str) -> str:
    return f"{PREFIX}{name.upper()}" if place == "environment" else place


def _check_name(name: str, source: str) -> None:
    if name in _settings():
        return
    written = PREFIX + name.upper() if source in {"environment", ".env"} else name
    near = difflib.get_close_matches(name, _settings(), n=1)
    nearest = (PREFIX + near[0].upper() if written.startswith(PREFIX) else near[0]) if near else ""
    hint = f"did you mean {nearest}?" if nearest else '"streamq config" lists all.'
    raise ConfigError(f"{written} ({source}) is not a setting; {hint}")
