"""The short form of the campaign; ``python -m ticking`` runs the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def campaign(arguments: str) -> subprocess.CompletedProcess[str]:
    """It forks, so it runs as a program of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ticking", *arguments.split()],
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_each_time_gets_one_job_while_schedulers_are_killed() -> None:
    done = campaign("--processes 3 --schedules 60 --hours 1 --speed 900")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_campaign_sees_a_planted_bug() -> None:
    """The other two are races, which only the long form meets for sure: ``python -m ticking --plant all``."""
    done = campaign("--processes 3 --schedules 80 --hours 0.5 --speed 700 --pause 0.02 --plant all")
    assert "a tick moves on without a job: seen" in done.stdout, done.stdout + done.stderr
