"""The typed surface, judged by mypy --strict and by pyright: right uses pass, and each wrong one is an error in both."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def mypy() -> Iterator[tuple[str, int, str]]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "accepted.py", "refused.py"]
    found = subprocess.run(
        [*command, f"--cache-dir={ROOT / '.mypy_cache'}"],
        cwd=HERE,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    for line in found.stdout.splitlines():
        if match := re.match(r"(.+?):(\d+): error: (.*)", line):
            yield match[1], int(match[2]), match[3]


def pyright() -> Iterator[tuple[str, int, str]]:
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--pythonpath",
        sys.executable,
        "--outputjson",
        str(HERE / "accepted.py"),
        str(HERE / "refused.py"),
    ]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    for one in json.loads(found.stdout)["generalDiagnostics"]:
        if one["severity"] == "error":
            yield Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"]


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_right_uses_pass_and_every_wrong_use_is_an_error(
    checker: Callable[[], Iterator[tuple[str, int, str]]],
) -> None:
    errors = {(name, line): text for name, line, text in checker()}
    lines = (HERE / "refused.py").read_text().splitlines()
    marked = {
        ("refused.py", number) for number, line in enumerate(lines, 1) if re.search(r"# refused: \w", line)
    }
    assert {place: text for place, text in errors.items() if place not in marked} == {}
    assert marked - errors.keys() == set()
