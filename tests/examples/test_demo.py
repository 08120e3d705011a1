"""The demo ends with 0 when all went as it should, shows live figures meanwhile, and leaves no process behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

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
    assert not [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(tmp_path) in str(process.info["cmdline"])
    ]
