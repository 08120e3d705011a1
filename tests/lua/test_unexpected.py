"""An error that nobody foresaw, of a command or of our own code, says in which line of ``lua/`` it was raised."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import redis

from servers import Server
from shards import Shard
from streamq.library import Dialect, Library, library
from streamq.protocol import Call

BUGS = """\
sq.register('index', {}, function() local nothing; local field = nothing.field end)
sq.register('call', {}, function(anchor) redis.call('HSET', anchor, 'a', 'b') redis.call('LPUSH', anchor, 1) end)
sq.register('tail', {}, function(anchor) redis.call('HSET', anchor, 'a', 'b') return redis.call('LPUSH', anchor, 1) end)
sq.register('raise', {}, function() error('a text') end)
"""


def places(message: str) -> list[str]:
    """What stands in the lines that a message names."""
    found = re.findall(r"lua/([\w.]+):(\d+)", library().located(message))
    return [(library().folder / file).read_text().splitlines()[int(line) - 1] for file, line in found]


def test_a_strangers_write_that_makes_a_command_fail_is_found_by_its_line(shard: Shard) -> None:
    shard.client.set(shard.key("counts"), "not a hash")
    with pytest.raises(redis.ResponseError, match=r"^WRONGTYPE ") as refusal:
        shard.enqueue("5", "mail", "x")
    assert [line.strip() for line in places(str(refusal.value))] == [
        "if n ~= 0 then redis.call('HINCRBY', c.anchor .. ':counts', name, n) end"
    ]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    ("name", "line", "start"),
    [("index", 1, "user_"), ("call", 2, "WRONGTYPE "), ("tail", 3, "WRONGTYPE "), ("raise", 4, "user_")],
)
def test_a_bug_is_found_by_its_line(
    server: Server, anchor: str, tmp_path: Path, dialect: Dialect, name: str, line: int, start: str
) -> None:
    folder = tmp_path / "lua"
    shutil.copytree(library().folder, folder)
    (folder / "99_bugs.lua").write_text(BUGS)
    made = Library(folder)
    server.raw.function_load(made.source, replace=True)
    server.raw.script_load(made.script)
    with pytest.raises(redis.ResponseError) as found:
        server.raw.execute_command(*made.command(Call(name, anchor, (0,), str), dialect))
    said = str(found.value)
    assert said.startswith(start)  # the client took an ERR away
    assert f"lua/99_bugs.lua:{line}" in made.located(said)
    assert "prelude" not in made.located(said)
