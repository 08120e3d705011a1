"""A private PostgreSQL server for the peers that want one: in a folder of its own, on a unix socket only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["NoPostgres", "Postgres"]

USER = "postgres"
SETTINGS = ("listen_addresses=", "shared_buffers=256MB", "synchronous_commit=off", "max_wal_size=2GB")
DATABASE = "bench"


class NoPostgres(Exception):
    """There is no PostgreSQL on this machine that could be started; the sentence says why."""


class Postgres:
    """The server while it is a context. Raises NoPostgres. Root cannot run it, so then the user ``postgres`` does."""

    def __enter__(self) -> Self:
        self._path = _path()
        self._user = USER if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="sq-pg-"))
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def url(self) -> str:
        """Where the measured database is."""
        return f"postgres://{USER}@/{DATABASE}?host={self.folder}"

    def flush(self) -> None:
        """An empty database."""
        self._sql(
            "postgres", f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)", f"CREATE DATABASE {DATABASE}"
        )

    def size(self) -> int:
        """Bytes of the measured database."""
        return int(self._sql(DATABASE, f"SELECT pg_database_size('{DATABASE}')"))

    def version(self) -> str:
        """As in 15.13."""
        return self._sql("postgres", "SHOW server_version").strip()

    def _sql(self, database: str, *statements: str) -> str:
        each = [word for statement in statements for word in ("-c", statement)]
        return self._run("psql", "-h", str(self.folder), "-U", USER, "-d", database, "-qAt", *each)

    def _start(self) -> None:
        if self._user:
            try:
                shutil.chown(self.folder, self._user)
            except LookupError as error:
                raise NoPostgres("root cannot run PostgreSQL, and there is no user named postgres") from error
        data = str(self.folder / "data")
        self._run("initdb", "--auth=trust", "--username", USER, "--no-sync", "--pgdata", data)
        options = [word for setting in SETTINGS for word in ("-c", setting)]
        words = [self._program("postgres"), "-D", data, "-k", str(self.folder), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words, user=self._user, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        self._wait_until_ready()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # its fast shutdown: sessions are ended
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _program(self, name: str) -> str:
        found = shutil.which(name, path=self._path)
        if found is None:
            raise NoPostgres(f"there is initdb on this machine, but no {name}")
        return found

    def _run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [self._program(program), *words],
            user=self._user,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise NoPostgres(f"{program} failed: {done.stderr.strip()}")
        return done.stdout

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > deadline:
                raise NoPostgres(f"it did not start: {(self.folder / 'log').read_text().strip()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self.version()
        except NoPostgres:
            return False
        return True


def _path() -> str:
    """Where its programs are: the PATH, and before it the folder of Debian's newest version. Raises NoPostgres."""
    folders = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    if shutil.which("initdb", path=path) is None:
        raise NoPostgres("no PostgreSQL (initdb) on this machine; on Debian: apt-get install postgresql")
    return path
