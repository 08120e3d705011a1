"""Makes one Redis function library of the files in ``lua/``, and says how to put it on a server.

A library's name carries the protocol (``streamq_1``), so two protocols can share a server. Within a protocol the
revision decides: a library is loaded when there is none, replaces an older revision, and never a newer one. Servers
without functions (Redis 6) get the same source as a script, behind a few lines that stand in for what is missing.

Nothing here talks to a server: ``install`` is a conversation that yields commands and is sent their replies.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

from streamq.errors import LibraryMissing
from streamq.protocol import PROTOCOL, Argument, Call

__all__ = ["REVISION", "Command", "Dialect", "Library", "Origin", "Stamp", "library"]

REVISION = 1  # raised by whoever changes lua/ after a release

Command = tuple[Argument, ...]

_STAMP = re.compile(rb"^-- rev (\d+) ([0-9a-f]{12})( checkout)?$", re.MULTILINE)
_CHUNK = re.compile(r"@?user_(?:function|script): ?(\d+)")  # Redis 6 writes a blank

# Two lines, as many as the header of a library has, so that line numbers of errors mean the same in both. No server
# without functions is sure to have shard channels; a link to such a server subscribes to plain ones.
_SHIM = (
    "local functions, server = {}, redis; local redis = setmetatable({register_function = function(of) "
    "functions[of.function_name] = of.callback end}, {__index = server})\n"
    "function redis.pcall(command, ...) if command == 'SPUBLISH' then command = 'PUBLISH' end "
    "return server.pcall(command, ...) end\n"
)
_DISPATCH = "return functions[table.remove(ARGV)](KEYS, ARGV)\n"


class Dialect(Enum):
    """How a server is asked to run a function."""

    FUNCTIONS = "FCALL"
    SCRIPTS = "EVALSHA"


class Origin(NamedTuple):
    """A line of a file of ``lua/``."""

    file: str
    line: int


class Stamp(NamedTuple):
    """What a loaded library says of itself on its second line."""

    revision: int
    digest: str
    checkout: bool

    @classmethod
    def of(cls, code: bytes) -> Stamp:
        """The stamp of a library's code; one without counts as older than all."""
        found = _STAMP.search(code)
        return cls(int(found[1]), found[2].decode(), bool(found[3])) if found else cls(0, "", True)


@dataclass(frozen=True)
class Library:
    """The function library in ``folder``. ``checkout``: these files are being worked on, not installed from a wheel."""

    folder: Path
    revision: int = REVISION
    checkout: bool = False
    name: str = f"streamq_{PROTOCOL}"

    @cached_property
    def _blocks(self) -> list[tuple[str, str]]:
        prelude = self.folder / "prelude.lua"
        rest = sorted(path for path in self.folder.glob("*.lua") if path != prelude)
        # One block for each file: its locals end with it, so the whole never nears Lua's limit of 200 locals.
        blocks = [(path.name, f"do\n{path.read_text().rstrip()}\nend\n") for path in rest]
        return [(prelude.name, prelude.read_text().rstrip() + "\n"), *blocks]

    @cached_property
    def body(self) -> str:
        """All files, joined in load order."""
        return "".join(text for _, text in self._blocks)

    @cached_property
    def stamp(self) -> Stamp:
        """What ``FUNCTION LIST`` will show of it."""
        return Stamp(self.revision, hashlib.sha256(self.body.encode()).hexdigest()[:12], self.checkout)

    @cached_property
    def source(self) -> str:
        """What ``FUNCTION LOAD`` takes."""
        mark = " checkout" if self.checkout else ""
        return f"#!lua name={self.name}\n-- rev {self.revision} {self.stamp.digest}{mark}\n{self.body}"

    @cached_property
    def script(self) -> str:
        """What ``SCRIPT LOAD`` takes on a server without functions."""
        return f"{_SHIM}{self.body}{_DISPATCH}"

    @cached_property
    def script_sha(self) -> str:
        """The name under which the server keeps the script."""
        return hashlib.sha1(self.script.encode(), usedforsecurity=False).hexdigest()

    def command(self, call: Call[Any], dialect: Dialect) -> Command:
        """The command that carries a call."""
        if dialect is Dialect.SCRIPTS:
            return ("EVALSHA", self.script_sha, 1, call.anchor, *call.args, call.name)
        return ("FCALL_RO" if call.readonly else "FCALL", call.name, 1, call.anchor, *call.args)

    def origin(self, line: int) -> Origin | None:
        """The file and line behind ``user_function:<line>`` of a server's error; None when it is in no file."""
        start = 2
        for file, text in self._blocks:
            size = text.count("\n")
            if start < line <= start + size:
                return Origin(file, line - start - text.startswith("do\n"))
            start += size
        return None

    def located(self, message: str) -> str:
        """The message of a server, with places of the library said as file and line of ``lua/``."""

        def place(found: re.Match[str]) -> str:
            origin = self.origin(int(found[1]))
            return f"lua/{origin.file}:{origin.line}" if origin else found[0]

        return _CHUNK.sub(place, message)

    def install(self, *, anyway: bool = False) -> Generator[Command, Any, Dialect]:
        """Put the library on one server, unless it is there. Yields commands for one connection; an error reply is
        sent back as a value. ``anyway`` also replaces other content of the same revision. Returns how functions are
        called there.

        Raises LibraryMissing when the server refuses it, or has the same revision with another content.
        """
        found = yield self._look()
        if isinstance(found, Exception):
            return (yield from self._without_look(str(found)))
        if not found:
            yield from self._load()
        elif self._replaces(_stamp_of(found), anyway):
            yield from self._replace()
        return Dialect.FUNCTIONS

    def _look(self) -> Command:
        return ("FUNCTION", "LIST", "LIBRARYNAME", self.name, "WITHCODE")

    def _without_look(self, refusal: str) -> Generator[Command, Any, Dialect]:
        if refusal.startswith("NOPERM"):
            return Dialect.FUNCTIONS  # a user who may only call: somebody else has loaded it
        if "unknown" not in refusal:
            raise LibraryMissing(f"the server does not say which function libraries it has: {refusal}")
        loaded = yield ("SCRIPT", "LOAD", self.script)
        if isinstance(loaded, Exception):
            raise LibraryMissing(
                f"the server has no functions, and refuses the script: {self.located(str(loaded))}"
            )
        return Dialect.SCRIPTS

    def _load(self) -> Generator[Command, Any, None]:
        answer = yield ("FUNCTION", "LOAD", self.source)
        if isinstance(answer, Exception) and "already exists" not in str(answer):
            raise self._refused(answer)

    def _replaces(self, there: Stamp, anyway: bool) -> bool:
        if there.revision != self.revision:
            return there.revision < self.revision
        if there.digest == self.stamp.digest:
            return False
        if anyway or self.checkout or there.checkout:
            return True
        raise LibraryMissing(
            f"the server's library {self.name} has revision {there.revision} like this one, but another content "
            f"({there.digest} there, {self.stamp.digest} here). Install the same streamq everywhere; to replace "
            'it anyway, run "streamq function load --replace".'
        )

    def _replace(self) -> Generator[Command, Any, None]:
        """Replace without a lock: the transaction shows what was replaced, and a newer one is put back at once."""
        yield ("MULTI",)
        yield self._look()
        yield ("FUNCTION", "LOAD", "REPLACE", self.source)
        answer = yield ("EXEC",)
        failed = next((one for one in answer if isinstance(one, Exception)), None)
        if isinstance(answer, Exception) or failed:
            raise self._refused(failed or answer)
        replaced = answer[0]
        if replaced and _stamp_of(replaced).revision > self.revision:
            yield ("FUNCTION", "LOAD", "REPLACE", _code_of(replaced))

    def _refused(self, answer: Exception) -> LibraryMissing:
        return LibraryMissing(
            f"the function library {self.name} is not on the server and could not be loaded: {self.located(str(answer))}. "
            'Run "streamq function load" as a user who may FUNCTION LOAD.'
        )


@cache
def library() -> Library:
    """The library of this installation: ``streamq/lua`` of a wheel, or ``lua/`` of a checkout.

    Raises LibraryMissing when the files are not there.
    """
    package = Path(__file__).parent
    for folder, checkout in ((package / "lua", False), (package.parent / "lua", True)):
        if (folder / "prelude.lua").is_file():
            return Library(folder, checkout=checkout)
    raise LibraryMissing(
        f"the Lua files are not in {package / 'lua'}: this installation is broken; install streamq again"
    )


def _code_of(listing: Any) -> bytes:
    """The code in a reply of FUNCTION LIST WITHCODE, a map in RESP3 and a flat list in RESP2."""
    entry = listing[0]
    if not isinstance(entry, dict):
        entry = dict(zip(entry[::2], entry[1::2], strict=True))
    code: bytes = entry[b"library_code"]
    return code


def _stamp_of(listing: Any) -> Stamp:
    return Stamp.of(_code_of(listing))
