"""The lines of a worker, as another process that shares the file sees them; and that they are never in the way."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from crew import PROGRAM, Crew, until
from servers import Server

LOG_TWICE = """
import structlog
from streamq.config import Config
from streamq.worker.log import set_up_log
set_up_log(Config(log="json"))
structlog.get_logger().info("worker.lost", why="SIGSEGV")
structlog.get_logger().info("worker.lost", why="SIGKILL")
"""
LOG_WHILE_THE_DISK_IS_FULL = """
import resource, structlog
from streamq.config import Config
from streamq.worker.log import set_up_log
set_up_log(Config(log="json"))
free = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, free[1]))
structlog.get_logger().info("torn")
structlog.get_logger().info("lost")
resource.setrlimit(resource.RLIMIT_FSIZE, free)
structlog.get_logger().info("whole")
"""
LOG_A_LONG_LINE = """
import structlog
from streamq.config import Config
from streamq.worker.log import set_up_log
set_up_log(Config(log="json"))
structlog.get_logger().info("long", text="x" * 300_000)
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


def test_lines_that_a_full_disk_loses_are_counted_and_spoil_no_other(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        subprocess.run([sys.executable, "-c", LOG_WHILE_THE_DISK_IS_FULL], stderr=log, check=True)
    torn, *lines = (tmp_path / "log").read_text().splitlines()
    assert len(torn) == 20
    whole, lost = map(json.loads, lines)
    assert whole["event"] == "whole"
    assert (lost["event"], lost["lines"]) == ("log.lines_lost", 2)


def test_a_line_that_is_longer_than_the_pipe_arrives_whole_when_somebody_reads() -> None:
    done = subprocess.run([sys.executable, "-c", LOG_A_LONG_LINE], stderr=subprocess.PIPE, check=True)
    assert len(json.loads(done.stderr)["text"]) == 300_000


def nobody_reads(descriptor: int) -> None:
    """Fill it."""
    os.set_blocking(descriptor, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(descriptor, b"x" * 4096):
            pass
    os.set_blocking(descriptor, True)


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    nobody_reads(writing)
    yield writing
    os.close(reading)
    os.close(writing)


@contextlib.contextmanager
def full_socket() -> Iterator[int]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        nobody_reads(theirs.fileno())
        yield theirs.fileno()


@contextlib.contextmanager
def pipe_without_a_reader() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextlib.contextmanager
def full_device() -> Iterator[int]:
    with Path("/dev/full").open("wb") as device:
        yield device.fileno()


@contextlib.contextmanager
def closed() -> Iterator[None]:
    yield


@pytest.fixture
def yard(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The tasks, on the server of the test."""
    monkeypatch.setenv("STREAMQ_URL", valkey.url)
    spec = importlib.util.spec_from_file_location("yard", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.app.close()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full, and how pipes are opened anew")
@pytest.mark.parametrize(
    "standard_error", [full_pipe, full_socket, pipe_without_a_reader, full_device, closed]
)
@pytest.mark.parametrize("by_command", [True, False])
def test_jobs_are_done_and_the_worker_ends_wherever_its_log_goes(
    by_command: bool,
    standard_error: Callable[[], contextlib.AbstractContextManager[int | None]],
    yard: ModuleType,
    tmp_path: Path,
) -> None:
    failing = [yard.fails.using(attempts=1).enqueue("no") for _ in range(30)]
    stray, added = yard.leaves_a_stray_error.enqueue(), yard.add.enqueue(1, 2)
    program = [str(PROGRAM), '{"workers": 2, "burst": true}']
    if by_command:  # it says on standard error too that no task is for a queue
        program = ["-m", "streamq.cli", "work", str(PROGRAM), "--burst", "--queue", "default", "--queue", "x"]
    with standard_error() as descriptor:
        shell = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh"] if descriptor is None else []
        ended = subprocess.run(
            [*shell, sys.executable, *program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=descriptor,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            timeout=60,
        )
    assert ended.returncode == 0
    assert (stray.result(timeout=10), added.result(timeout=10)) == (None, 3)
    assert {job.status() for job in failing} == {"dead"}


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of other processes are Linux's")
def test_while_the_disk_of_the_log_is_full_jobs_settle_and_the_dead_are_replaced(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    def limit(size: int) -> None:
        assert crew.process is not None
        for pid in (crew.process.pid, *(child.pid for child in crew.children())):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    with Crew(valkey, tmp_path, env={"JOURNAL": os.devnull}) as crew:
        limit(crew.log.stat().st_size)
        failing = yard.fails.enqueue("no")
        until(lambda: failing.status() == "dead")
        [child] = crew.children()
        child.kill()
        assert yard.add.enqueue(1, 2).result(timeout=20) == 3
        assert not crew.logged("worker.lost")
        limit(resource.RLIM_INFINITY)
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
        # worker.started of the second one; and of the supervisor, worker.lost and worker.jobs_given_back
        assert sorted(line["lines"] for line in crew.logged("log.lines_lost")) == [1, 2]


@pytest.mark.parametrize("descriptor", [True, False])
def test_a_handler_that_closes_standard_error_silences_and_stops_nobody(
    descriptor: bool, valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        [child] = crew.children()
        yard.closes_standard_error.enqueue(descriptor).result(timeout=20)
        failing = yard.fails.enqueue("no")
        until(lambda: failing.status() == "dead")
        assert [line["job"] for line in crew.logged("job.dead")] == [failing.id]
        [stray] = [line for line in crew.log.read_text().splitlines() if "nobody waits for this" in line]
        assert json.loads(stray)["logger"] == "asyncio"
        assert psutil.Process(child.pid).is_running()
