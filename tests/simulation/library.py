"""The library under test: the files of lua/, with small numbers and wakes that the driver can collect.

The product publishes a wake to a shard channel. Here the same line pushes it to a list, from which the driver takes it
after each call: so a wake is an event of the simulation, which may be late or lost. Some limits are lowered, so that
their edges are met with few jobs. Whatever is replaced must be there exactly once.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from streamq.library import Library, library

WAKES = "test:wakes"
LEASE, AGE, CAP, JUMP = 3_000, 1_000, 5_000, 6_000
HOW = "SIGSEGV"  # how processes die


class Edit(NamedTuple):
    """In ``file`` stands ``new`` instead of ``old``."""

    file: str
    old: str
    new: str


NUMBERS = (
    Edit("prelude.lua", "AGE = 60000,", f"AGE = {AGE},"),
    Edit("prelude.lua", "GIVE = 100,", "GIVE = 2,"),  # a consumer is emptied in parts
    Edit("prelude.lua", "PROMOTE = 250,", "PROMOTE = 3,"),
    Edit("prelude.lua", "JUMP = 60000,", f"JUMP = {JUMP},"),
    Edit("38_struck.lua", "FREED = 250 ", "FREED = 2 "),
)
ONE_BY_ONE = Edit("54_take.lua", "MIXED = 16 ", "MIXED = 1 ")
SHIM = Edit(
    "20_waking.lua",
    "redis.pcall('SPUBLISH', c.anchor .. ':w:' .. consumer, word)",
    f"redis.call('RPUSH', c.anchor .. ':{WAKES}', consumer .. ' ' .. word)",
)


class MissingText(Exception):
    """A text that is to be replaced does not stand in its file exactly once: mend the edit."""


def source(*edits: Edit) -> str:
    """The library's source for a test server, with the edits of a planted bug."""
    files = {path.name: path.read_text() for path in library().folder.glob("*.lua")}
    for edit in (*NUMBERS, SHIM, *edits):
        found = files[edit.file].count(edit.old)
        if found != 1:
            raise MissingText(f"lua/{edit.file} has {found} times: {edit.old!r}")
        files[edit.file] = files[edit.file].replace(edit.old, edit.new)
    with TemporaryDirectory(prefix="sq-lua-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        return Library(Path(folder)).source
