"""The server that needs no set-up: one Valkey for each project folder, on a unix socket, with an append-only file.

The first process that needs it starts it, all others join, and it stays when they end. Two files are locked, never
read: ``start.lock`` by who is starting a server, and ``running.lock`` by the server itself, which inherits the open
file. So the system knows whether a server lives, also after kill -9, and never two of them write one file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from streamq.config import Config
from streamq.engines.address import Address
from streamq.engines.programs import server_program
from streamq.errors import ConfigError, ServerUnavailable

__all__ = ["Embedded", "Status", "start", "status", "stop"]

_LONGEST_SOCKET = 100  # bytes; the system allows 107 and macOS 103
SHORT = Path("/tmp")  # noqa: S108 - the folder in it is for the user alone, which is checked
_PATIENCE = 15.0  # seconds to start, to stop, or to come back from a hang
_POLL = 0.003  # seconds
_NULL = subprocess.DEVNULL


@dataclass(frozen=True, slots=True)
class Status:
    """The embedded server of a data folder. ``pid`` is 0 when it does not run."""

    running: bool
    answers: bool
    pid: int
    url: str
    folder: Path
    log: Path


@dataclass(frozen=True, slots=True)
class Embedded:
    """The place of an embedded server; ``locate`` starts it when it does not run."""

    config: Config

    @property
    def moves(self) -> bool:
        """It may have to be started again, which takes a moment."""
        return True

    def locate(self) -> Address:
        """Its socket, after it has answered. A server that had to be started is said once, on stderr."""
        files = _Files.of(self.config)
        if _ensure(files):
            said = f'streamq: started a server in {files.folder} ("streamq server stop" ends it)'
            with contextlib.suppress(
                AttributeError, OSError, ValueError
            ):  # whoever has closed it does not want to know
                sys.stderr.write(f"{said}\n")
        return Address(path=str(files.socket))


def start(config: Config) -> Status:
    """Start the server of this project unless it runs; returns when it answers.

    Raises NotSupported when no server program is installed, ServerUnavailable with the end of its log when it dies.
    """
    _ensure(_Files.of(config))
    return status(config)


def stop(config: Config) -> bool:
    """Stop the server after it has written everything, or kill it when it hangs; False when it did not run."""
    files = _Files.of(config)
    if not files.alive():
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(files.pid(), number)
        if _until(lambda: not files.alive()):
            return True
    raise ServerUnavailable(
        f"the embedded server (process {files.pid()}) does not stop; its log is {files.log}"
    )


def status(config: Config) -> Status:
    """Whether the server of this project runs, and whether it answers."""
    files = _Files.of(config)
    running = files.alive()
    pid = files.pid() if running else 0
    return Status(running, _answers(files.socket), pid, f"unix://{files.socket}", files.folder, files.log)


@dataclass(frozen=True, slots=True)
class _Files:
    folder: Path
    socket: Path

    @classmethod
    def of(cls, config: Config) -> _Files:
        named = (config.url or "").removeprefix("embedded://")
        folder = Path(named) if named else config.data_folder
        folder = folder.resolve()
        plain = folder / "server.sock"
        return cls(folder, plain if len(os.fsencode(plain)) <= _LONGEST_SOCKET else _short_socket(folder))

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def make(self) -> None:
        """The folder, for this user alone, and out of sight of git."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / ".gitignore").write_text("*\n")
        except OSError as error:
            raise ConfigError(
                f"the data folder {self.folder} cannot be used ({error.strerror}). "
                "Set STREAMQ_DATA to another folder, or STREAMQ_URL to a server."
            ) from None

    def pid(self) -> int:
        try:
            return int((self.folder / "server.pid").read_text())
        except (OSError, ValueError):
            return 0

    def alive(self) -> bool:
        """Whether a server holds its lock."""
        try:
            with _locked(self.folder / "running.lock", wait=False):
                return False
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False


def _ensure(files: _Files) -> bool:
    """Let a server answer; whether it had to be started."""
    if _answers(files.socket):
        return False
    files.make()
    with _locked(files.folder / "start.lock"):
        if _answers(files.socket):
            return False
        _launch(files)
        return True


def _launch(files: _Files) -> None:
    """Start a server that outlives us and holds the lock; the caller holds ``start.lock``."""
    # One that lives and does not answer may be loading its file, or may just have been killed.
    if not _until(lambda: _answers(files.socket) or _spawned(files)):
        raise ServerUnavailable(_why_not(files))
    if not _until(lambda: _answers(files.socket) or not files.alive()) or not _answers(files.socket):
        raise ServerUnavailable(_why_not(files))


def _spawned(files: _Files) -> bool:
    try:
        with _locked(files.folder / "running.lock", wait=False) as lock:
            program = [str(server_program()), *_arguments(files)]
            subprocess.run(program, stdin=_NULL, stdout=_NULL, pass_fds=(lock,), check=False)  # noqa: S603 - ours
            return True
    except BlockingIOError:
        return False


def _arguments(files: _Files) -> list[str]:
    return [
        *("--daemonize", "yes", "--port", "0", "--unixsocket", str(files.socket), "--unixsocketperm", "700"),
        *(
            "--dir",
            str(files.folder),
            "--pidfile",
            str(files.folder / "server.pid"),
            "--logfile",
            str(files.log),
        ),
        *(
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
        ),
    ]


def _why_not(files: _Files) -> str:
    if files.alive():
        return (
            f"the embedded server (process {files.pid()}) does not answer. It may still be loading; "
            f'see {files.log}, or run "streamq server stop".'
        )
    lines = files.log.read_text(errors="replace").splitlines() if files.log.exists() else []
    said = next((line for line in reversed(lines) if line.strip()), "nothing")
    return f"the embedded server did not start. The last line of {files.log} is: {said}"


def _short_socket(folder: Path) -> Path:
    """A path in a folder of this user alone, for data folders whose own path is too long for a socket.

    It is the same for all processes of a user: their environments differ, as those of a shell and of cron do.
    """
    base = SHORT / f"streamq-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"{base} must be a folder that belongs to this user alone (chmod 700), for a socket"
        )
    return base / f"streamq-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.sock"


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
    except OSError:
        return False


def _until(happened: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[int]:
    """Hold the lock of a file; without ``wait``, BlockingIOError when somebody else holds it."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield opened
    finally:
        os.close(opened)
