"""A crew: a supervisor with its worker processes, run as a program of its own, for tests that kill them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil

from servers import Server

PROGRAM = Path(__file__).parent / "worker" / "yard.py"


def until(condition: Callable[[], Any], seconds: float = 20, what: str = "it") -> Any:
    """Look until something is true; what it was."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s")


class Crew:
    """``options`` are those of ``streamq.worker.run``."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        *,
        lease: float = 30.0,
        env: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        self.journal, self.log = folder / "journal", folder / "log"
        self._options = {"workers": 1, "timeout": 5, **options}
        self._environment = {
            **os.environ,
            "STREAMQ_URL": server.url,
            "JOURNAL": str(self.journal),
            "LEASE": str(lease),
            "STREAMQ_LOG": "json",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            **(env or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self.launch()
        until(lambda: self.logged("worker.started"), what="the start of a worker")
        return self

    def launch(self) -> None:
        """Start it without waiting."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, json.dumps(self._options)],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def children(self) -> list[psutil.Process]:
        """The worker processes."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children()

    def signal(self, number: int) -> None:
        """Send one to the supervisor."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def wait(self, seconds: float = 20) -> int:
        """Its exit code, when it has ended."""
        assert self.process is not None
        return self.process.wait(seconds)

    def lines(self, *words: str) -> list[str]:
        """The lines of the journal that begin with these words."""
        text = self.journal.read_text() if self.journal.exists() else ""
        return [line for line in text.splitlines() if line.split()[: len(words)] == list(words)]

    def begun(self, name: str) -> Callable[[], list[str]]:
        """A condition: a handler that was given this name has begun."""
        return lambda: self.lines("begin", name)

    def heard(self, *words: str) -> Callable[[], list[str]]:
        """A condition: an observer was told of this."""
        return lambda: self.lines("heard", *words)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log's lines of an event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def stop(self) -> None:
        """End all, whatever state they are in."""
        if self.process is None or self.process.poll() is not None:
            return
        family = [
            psutil.Process(self.process.pid),
            *psutil.Process(self.process.pid).children(recursive=True),
        ]
        for process in family:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.process.wait()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException as error:
            self.__exit__(type(error))
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is not None:
            print(self.log.read_text()[-5000:])
