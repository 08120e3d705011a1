"""A real ``streamq work`` for campaigns: started, found, killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Container
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from servers import Server

LEASE = 2.0  # seconds


class Fleet:
    """One supervisor with its children. Use it as a context manager; ``start`` again after the supervisor was killed."""

    def __init__(
        self, server: Server, *, workers: int = 3, concurrency: int = 20, url: str | None = None
    ) -> None:
        self.server, self.workers, self.concurrency = server, workers, concurrency
        self.url = url or server.url
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it with a short lease."""
        tests = Path(__file__).parent.parent
        environment = {
            **os.environ,
            "STREAMQ_URL": self.url,
            "STREAMQ_LEASE": str(LEASE),
            "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)]),
        }
        command = [sys.executable, "-m", "streamq.cli", "work", "chaos.jobs:app"]
        options = ["--workers", str(self.workers), "--concurrency", str(self.concurrency)]
        with (self.server.folder / "fleet.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)
        return self

    @property
    def children(self) -> list[psutil.Process]:
        """The worker processes that live at the moment."""
        assert self.process is not None
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []

    def kill_a_child(self, spared: Container[int] = ()) -> bool:
        """SIGKILL one worker process, none of those that are spared; whether there was one."""
        children = [child for child in self.children if child.pid not in spared]
        if not children:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            children[random.randrange(len(children))].kill()
            return True
        return False

    def kill_all(self) -> None:
        """SIGKILL the supervisor with everything under it, as when a host is lost; then start another."""
        assert self.process is not None
        children = self.children
        self.process.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait()
        self.start()

    def send(self, number: signal.Signals) -> None:
        """A signal for the supervisor."""
        assert self.process is not None
        self.process.send_signal(number)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
