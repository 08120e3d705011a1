"""``docs/redis-cli.md`` is one session: its commands run in order, and what comes back must be what it shows.

Ids of that day stand for the ids of this run: the first time one is shown it is learnt, then it is what commands are
given. Other numbers of four digits and more, and fractions, are clocks and may differ; a line ``…`` stands for any lines.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from servers import Server
from streamq.config import Config
from streamq.library import library
from streamq.wire import payloads_of

PAGE = Path(__file__).parents[2] / "docs" / "redis-cli.md"
ID = r"\d{13}-\d+|c\d{16}"
CLOCK = r"\d+\.\d+|\d{4,}"


def steps() -> list[tuple[str, str]]:
    """The commands of the page, each with the output that it shows."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    parts = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks), re.MULTILINE)
    return [(command, output) for command, output in parts]


class Session:
    """A shell whose redis-cli talks to the server, and the ids that it has met."""

    def __init__(self, server: Server, folder: Path) -> None:
        program = shutil.which("redis-cli")
        shim = folder / "redis-cli"
        shim.write_text(f'#!/bin/sh\nexec {program} --no-raw -s {server.socket} "$@"\n')
        shim.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
        self.ids: dict[str, str] = {}

    def run(self, command: str) -> str:
        command = re.sub(ID, lambda found: self.ids.get(found[0], found[0]), command)
        ended = subprocess.run(
            ["sh", "-c", command],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        return re.sub(r"\n+$", "\n", ended.stdout + ended.stderr)

    def shows(self, expected: str, output: str) -> bool:
        """Whether the output is the expected one; learns the ids in it."""
        new: list[str] = []
        pieces = re.split(rf"({ID}|{CLOCK}|…\n)", expected)
        pattern = "".join(self._pattern(piece, new) for piece in pieces)
        found = re.fullmatch(pattern, output)
        if found:
            self.ids.update((name, found[f"id{i}"]) for i, name in enumerate(new))
        return found is not None

    def _pattern(self, piece: str, new: list[str]) -> str:
        if piece == "…\n":
            return r"(?s:.*)"
        if re.fullmatch(ID, piece):
            return self._id_pattern(piece, new)
        return r"[\d.]+" if re.fullmatch(CLOCK, piece) else re.escape(piece)

    def _id_pattern(self, name: str, new: list[str]) -> str:
        if name in self.ids:
            return re.escape(self.ids[name])
        if name in new:
            return f"(?P=id{new.index(name)})"
        new.append(name)
        return f"(?P<id{len(new) - 1}>{ID})"


@pytest.fixture
def session(server: Server, tmp_path: Path) -> Session:
    if shutil.which("redis-cli") is None:
        sentence = "redis-cli is not installed"
        pytest.fail(sentence) if os.environ.get("CI") else pytest.skip(sentence)
    server.raw.function_load(library().source)
    return Session(server, tmp_path)


def test_every_command_of_the_page_answers_what_the_page_shows(session: Session) -> None:
    assert len(steps()) > 20
    for command, expected in steps():
        output = session.run(command)
        assert session.shows(expected, output), f"$ {command}\n{output}\nthe page shows\n{expected}"


def test_the_arguments_that_the_page_writes_by_hand_are_read_by_workers() -> None:
    bodies = re.findall(r"send_email '(.*?)'", PAGE.read_text())
    payloads = payloads_of(Config())
    addresses = [payloads.unpack("mail", "send_email", body.encode()).args[0] for body in bodies]
    assert len(bodies) > 5
    assert all(re.fullmatch(r"\w+@b\.c", address) for address in addresses)
