"""The pages tell the truth: their programs pass the type checker, their commands exist, their links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from streamq.cli.root import root
from streamq.states import FINAL, MOVES, State

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CHANGELOG.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


SKETCHES = {"architecture.md"}  # signatures in the shape of Python, not programs


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = "".join(block for page in PAGES for block in blocks(page, "console")).splitlines()
    return sorted(
        {line.removeprefix("$ ") for line in lines if re.match(r"\$ (?:[A-Z_]+=\S+ )*streamq ", line)}
    )


def test_the_programs_of_the_pages_are_right_for_the_type_checker(tmp_path: Path) -> None:
    programs = {page: "".join(blocks(page, "python")) for page in PAGES if page.name not in SKETCHES}
    files = []
    for page, program in programs.items():
        if program:
            files.append(tmp_path / f"{page.stem.replace('-', '_')}.py")
            files[-1].write_text(program)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(CHECKOUT / ".mypy_cache" / "pages"),
        *map(str, files),
    ]
    checked = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(CHECKOUT)}, capture_output=True, text=True, check=False
    )
    assert len(files) > 3
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_program_of_the_readme_is_the_first_example() -> None:
    assert blocks(CHECKOUT / "README.md", "python") == [(CHECKOUT / "examples" / "hello.py").read_text()]


def test_the_tests_that_a_page_shows_pass() -> None:
    shown: dict[str, Any] = {}
    exec("".join(blocks(CHECKOUT / "docs" / "how-to" / "test-your-code.md", "python")), shown)
    tests = [test for name, test in shown.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


@pytest.mark.parametrize("command", commands())
def test_the_commands_of_the_pages_exist_with_their_options(command: str) -> None:
    words = shlex.split(command)
    words = words[words.index("streamq") + 1 :]
    current: click.Command = root
    context = click.Context(root)
    while isinstance(current, click.Group):
        name = words.pop(0)
        found = current.get_command(context, name)
        assert found is not None, f"streamq has no command {name}"
        current, context = found, click.Context(found, parent=context, info_name=name)
    current.make_parser(context).parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_names_of_files_lead_to_something(page: Path) -> None:
    text = page.read_text()
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    missing = [link for link in links if link and not (page.parent / link).exists()]
    named = re.findall(r"`((?:tests|scripts|examples|lua|bench|deploy)/[\w./-]*)`", text)
    assert missing + [name for name in named if not (CHECKOUT / name).exists()] == []


def test_the_diagram_shows_every_allowed_move_and_no_other() -> None:
    [diagram] = blocks(CHECKOUT / "docs" / "concepts.md", "mermaid")
    shown = set(re.findall(r"(\w+) --> (\w+)", diagram))
    assert shown == {(str(start), str(end)) for start, ends in MOVES.items() for end in ends}
    assert State.DEAD in FINAL
