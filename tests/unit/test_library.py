"""The library that is made of many files, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamq.library import Dialect, Library, Origin, library
from streamq.protocol import Call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prelude.lua").write_text("local sq = {}\nlocal two = 2\n")
    (tmp_path / "20_second.lua").write_text("sq.b = 1\n\nsq.c = 1")
    (tmp_path / "10_first.lua").write_text("sq.a = 1\n")
    return tmp_path


def test_the_prelude_comes_first_and_every_other_file_in_a_block_of_its_own(folder: Path) -> None:
    source = Library(folder).source
    assert source.startswith("#!lua name=streamq_1\n-- rev 1 ")
    assert source.endswith("local sq = {}\nlocal two = 2\ndo\nsq.a = 1\nend\ndo\nsq.b = 1\n\nsq.c = 1\nend\n")


@pytest.mark.parametrize("which", ["source", "script"])
def test_every_line_of_a_file_is_found_again_from_its_number(folder: Path, which: str) -> None:
    made = Library(folder)
    lines = getattr(made, which).splitlines()
    found = {made.origin(number): line for number, line in enumerate(lines, 1)}
    assert found[Origin("prelude.lua", 2)] == "local two = 2"
    assert found[Origin("10_first.lua", 1)] == "sq.a = 1"
    assert found[Origin("20_second.lua", 3)] == "sq.c = 1"
    assert made.origin(1) is None
    assert made.origin(999) is None


def test_places_in_a_servers_message_become_files_and_lines(folder: Path) -> None:
    message = "ERR user_function:9: boom script: sq1_x, on @user_function:6."
    assert Library(folder).located(message) == (
        "ERR lua/20_second.lua:1: boom script: sq1_x, on lua/10_first.lua:1."
    )


def test_the_digest_follows_the_content(folder: Path) -> None:
    before = Library(folder).stamp.digest
    assert Library(folder).stamp.digest == before
    (folder / "10_first.lua").write_text("sq.a = 2\n")
    assert Library(folder).stamp.digest != before


def test_readers_are_called_so_that_a_read_only_user_may() -> None:
    reader = Call("stats", "sq:{mail}", (0,), str, readonly=True)
    writer = Call("take", "sq:{mail}", (0, "c1"), str)
    assert library().command(reader, Dialect.FUNCTIONS) == ("FCALL_RO", "sq1_stats", 1, "sq:{mail}", 0)
    assert library().command(writer, Dialect.FUNCTIONS) == ("FCALL", "sq1_take", 1, "sq:{mail}", 0, "c1")
    assert library().command(writer, Dialect.SCRIPTS)[2:] == (1, "sq:{mail}", 0, "c1", "sq1_take")
