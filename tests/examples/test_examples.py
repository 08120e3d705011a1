"""Every example runs as its docstring says, with real workers, and prints what its docstring promises."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Server

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.fixture
def environment(valkey: Server) -> dict[str, str]:
    """What a user would export to use this server."""
    return {**os.environ, "STREAMQ_URL": valkey.url, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def worker(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """``streamq work <example>``; at the end it must leave on SIGTERM with status 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "streamq.cli", "work", request.param, "--workers", "1"],
        cwd=EXAMPLES,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    process.terminate()
    log, _ = process.communicate(timeout=30)
    assert process.returncode == 0, log


def promised(name: str) -> str:
    """The block at the end of an example's docstring."""
    docstring = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text())) or ""
    found = re.search(r"prints::\n\n(.*)", docstring, re.DOTALL)
    assert found, f"{name}.py does not say what it prints"
    return textwrap.dedent(found[1]).strip()


@pytest.mark.parametrize(("worker", "name"), [(name, name) for name in NAMES], indirect=["worker"], ids=NAMES)
def test_an_example_prints_what_it_promises(
    worker: subprocess.Popen[str], name: str, environment: dict[str, str]
) -> None:
    ended = subprocess.run(
        [sys.executable, f"{name}.py"],
        cwd=EXAMPLES,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.stdout.strip(), ended.stderr) == (promised(name), "")
