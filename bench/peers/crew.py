"""The processes of one peer: its producer and its workers, started in its environment and ended with all their children."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.ground import wait_until
from bench.peers.description import Peer
from bench.peers.environments import command, environment, variables

__all__ = ["Crew", "PeerFailed"]

PATIENCE = 90.0
LEAVING = 8.0  # seconds that a worker has to end before it is killed


class PeerFailed(Exception):
    """A peer did not do what it was started for; the sentence says what, and ends with its last words."""


@dataclass(frozen=True)
class Crew:
    """Starts a peer's processes; ``extra`` are environment variables for them, ``log`` what they write into."""

    peer: Peer
    extra: dict[str, str]
    log: Path

    @contextlib.contextmanager
    def producer(self, what: str, jobs: int) -> Iterator[subprocess.Popen[str]]:
        """Its program that puts jobs in; it answers in JSON on its last line."""
        file = str(self.peer.file)
        python = ("python", "-m", "bench.peers.driver", self.peer.name)
        start = python if self.peer.is_python else ("node", file)
        with self._started((*start, what, str(jobs)), subprocess.PIPE) as process:
            yield process

    @contextlib.contextmanager
    def workers(self, processes: int) -> Iterator[list[subprocess.Popen[str]]]:
        """Its own command for workers: once when it can be told the number of processes, else once for each."""
        copies = 1 if any("{processes}" in word for word in self.peer.worker) else processes
        words = tuple(self._filled(word, processes) for word in self.peer.worker)
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self._started(words, None)) for _ in range(copies)]

    def answer(self, producer: subprocess.Popen[str]) -> dict[str, float]:
        """What a producer found. Raises PeerFailed."""
        try:
            printed, _ = producer.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise self.failed(f"its producer was not done after {PATIENCE:.0f} s") from None
        if producer.returncode:
            raise self.failed(f"its producer ended with {producer.returncode}")
        found: dict[str, float] = json.loads(printed.strip().splitlines()[-1])
        return found

    def wait(self, true: Callable[[], bool], workers: list[subprocess.Popen[str]], what: str) -> None:
        """Until it is true. Raises PeerFailed, also when a worker ends before."""

        def happened() -> bool:
            if any(process.poll() is not None for process in workers):
                raise self.failed("its worker ended")
            return true()

        try:
            wait_until(happened, seconds=PATIENCE)
        except TimeoutError:
            raise self.failed(f"{what} within {PATIENCE:.0f} s") from None

    def failed(self, what: str) -> PeerFailed:
        """An error with the last line of the log."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return PeerFailed(f"{what}; its last words: {lines[-1].strip() if lines else 'none'}")

    def _filled(self, word: str, processes: int) -> str:
        places = {
            "{processes}": str(processes),
            "{file}": str(self.peer.file),
            "{socket}": self.extra["BENCH_SOCKET"],
            "{port}": self.extra["BENCH_PORT"],
        }
        for place, value in places.items():
            word = word.replace(place, value)
        return word

    @contextlib.contextmanager
    def _started(self, words: tuple[str, ...], answers: int | None) -> Iterator[subprocess.Popen[str]]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command(self.peer, words),
                env=variables(self.peer, self.extra),
                cwd=environment(self.peer),
                stdin=subprocess.PIPE if answers else subprocess.DEVNULL,
                stdout=answers or log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """TERM to the process, and KILL to what is left of its group."""
    if process.poll() is None:
        process.terminate()
        deadline = time.monotonic() + LEAVING
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
