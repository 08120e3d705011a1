"""The lines of a worker, as another process that shares the file sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

LOG_TWICE = """
import structlog
from streamq.config import Config
from streamq.worker.log import set_up_log
set_up_log(Config(log="json"))
structlog.get_logger().info("worker.lost", why="SIGSEGV")
structlog.get_logger().info("worker.lost", why="SIGKILL")
"""


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="pipes that keep writes apart are Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_and_its_end_are_one_write_so_that_processes_may_share_the_file(unbuffered: str) -> None:
    reading, writing = os.pipe2(os.O_DIRECT)
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with os.fdopen(reading, "rb", buffering=0) as writes:
        with os.fdopen(writing, "wb") as standard_error:
            subprocess.run(
                [sys.executable, "-c", LOG_TWICE], stderr=standard_error, env=environment, check=True
            )
        first, second, end = writes.read(4096), writes.read(4096), writes.read(4096)
    assert [json.loads(line)["why"] for line in (first, second)] == ["SIGSEGV", "SIGKILL"]
    assert [line[-1:] for line in (first, second, end)] == [b"\n", b"\n", b""]
