"""The demo ends with 0 when all went as it should, shows live figures meanwhile, and leaves no process behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

DEMO = Path(__file__).parents[2] / "examples" / "demo"


def test_the_demo_shows_progress_and_ends_well_and_leaves_nothing_running(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, DEMO, tmp_path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    log = tmp_path / "workers.log"
    assert ended.returncode == 0, ended.stdout + ended.stderr + (log.read_text() if log.exists() else "")
    assert ended.stdout.count(" of 647: ") >= 3
    assert "NO " not in ended.stdout
    assert re.search(
        r"worker process \d+ died \(SIGSEGV\): \d+ jobs that it had were given back", ended.stdout
    )
    counts = re.findall(r"^ *(?:pictures|texts) +(\d+) +(\d+) +(\d+) +(\d+) *$", ended.stdout, re.MULTILINE)
    assert [sum(map(int, column)) for column in zip(*counts, strict=True)] == [648, 643, 4, 1]
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(tmp_path) in str(process.info["cmdline"])
    ]


@pytest.mark.parametrize("argument", ["--help", "mine"])
def test_the_demo_touches_no_folder_that_is_not_its_own(tmp_path: Path, argument: str) -> None:
    own = tmp_path / "mine" / "pictures" / "holiday.png"
    own.parent.mkdir(parents=True)
    own.touch()
    ended = subprocess.run([sys.executable, DEMO, argument], cwd=tmp_path, capture_output=True, timeout=60)
    assert ended.returncode == (0 if argument == "--help" else 2)
    assert own.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
