"""Runs ``streamq`` as a user does: in a process of its own, or in this one where only its words matter."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from streamq.cli import main

SHOP = """
from streamq import App, Context, Dead

app = App()


@app.task(queue="mail", result_ttl="1m")
async def send_email(to: str, *, template: str = "welcome") -> str:
    if "@" not in to:
        raise Dead(f"{to} is no address")
    return f"{template} to {to}"


@app.task(queue="mail", result_ttl="1m")
async def asks(ctx: Context) -> list[object]:
    paid = await ctx.step("charge", lambda: 7)
    return [paid, await ctx.signal("approved", bool, timeout="1d", default=False)]


@app.task(queue="sums", result_ttl="1m")
def add(a: int, b: int) -> int:
    return a + b
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What ``--json`` printed: the whole of stdout is one document."""
        return json.loads(self.out)

    @property
    def word(self) -> str:
        """A single word on stdout, a job's id for example."""
        (word,) = self.out.split()
        return word


@dataclass(frozen=True, slots=True)
class Shell:
    """A folder with ``shop.py`` in it, and the URL in its environment. ``code`` is the exit code that is due."""

    folder: Path
    url: str

    def run(self, *arguments: str, code: int = 0, **settings: str) -> Ran:
        """Run a command in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "streamq.cli", *arguments],
            cwd=self.folder,
            env=self.environment(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return _due(code, arguments, Ran(done.returncode, done.stdout, done.stderr))

    @contextlib.contextmanager
    def started(self, *arguments: str, stdout: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
        """A command that runs until it is told to stop; killed when it still runs at the end."""
        process = subprocess.Popen(
            [sys.executable, "-m", "streamq.cli", *arguments],
            cwd=self.folder,
            env=self.environment({}),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
                process.kill()

    def call(self, *arguments: str, code: int = 0, **settings: str) -> Ran:
        """Run a command in this process: the same, but for the start of Python."""
        out, err = io.StringIO(), io.StringIO()
        with self._entered(settings), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(arguments)
            except SystemExit as left:
                ended = left.code
        return _due(code, arguments, Ran(int(ended or 0), out.getvalue(), err.getvalue()))

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        """That of this process, with the settings of this shell alone."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("STREAMQ_")}
        return {**own, "STREAMQ_URL": self.url, **settings}

    @contextlib.contextmanager
    def _entered(self, settings: dict[str, str]) -> Iterator[None]:
        """In the folder, with the environment, and with modules that are forgotten afterwards."""
        with (
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, self.environment(settings), clear=True),
            mock.patch.object(sys, "path", list(sys.path)),
            mock.patch.object(sys, "stdin", io.StringIO()),
        ):
            known = set(sys.modules)
            try:
                yield
            finally:
                for name in set(sys.modules) - known:
                    if str(self.folder) in str(getattr(sys.modules[name], "__file__", "")):
                        del sys.modules[name]


def shell(folder: Path, url: str) -> Shell:
    """A project folder with the shop in it."""
    (folder / "shop.py").write_text(SHOP)
    (folder / "pyproject.toml").touch()
    return Shell(folder, url)


def _due(code: int, arguments: tuple[str, ...], ran: Ran) -> Ran:
    assert ran.code == code, f"streamq {' '.join(arguments)} ended with {ran}"
    return ran
