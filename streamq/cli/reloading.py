"""``streamq work --reload``: runs the workers in a process of their own, and anew whenever a Python file changes.

For development. Twice a second we look at the files below the current folder, and at the code that the App was imported
from, which the workers' process names through a pipe. Nothing has to be installed for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

__all__ = ["name_code", "run_reloading"]

_EVERY = 0.5  # seconds
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "dist-packages"}
_PIPE = "_STREAMQ_RELOADER"  # no setting: the number of the pipe's end, for the process that runs the workers
_OURS = Path(__file__).resolve().parents[1]

Stamps = dict[str, int]


def run_reloading(arguments: Sequence[str], folder: Path) -> int:
    """Run ``streamq`` with these arguments until we are told to stop; its exit code."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    watched = {str(folder)}
    while True:
        seen, started = _stamps(watched), time.time_ns()
        worker, named = _start(arguments)
        with contextlib.closing(named):
            changed = _first_change(watched, seen, named, started, stopping)
        worker.terminate()
        status = worker.wait()
        if changed is None:
            return 0 if status == -signal.SIGTERM else status  # it had not begun to listen
        click.echo(
            f"streamq: {os.path.relpath(changed, folder)} has changed; the workers start anew", err=True
        )


def name_code() -> None:
    """Tell the process that reloads, if there is one, where the code lies that was imported until now."""
    if number := os.environ.pop(_PIPE, None):
        with os.fdopen(int(number), "w") as pipe:
            pipe.writelines(f"{path}\n" for path in sorted(_project_code()))


def _project_code() -> set[Path]:
    """The folders of packages, and the modules outside of packages, that are neither installed nor Python's nor ours."""
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or not file.endswith(".py"):
            continue
        path = Path(file).resolve()
        depth = name.count(".") + (path.name == "__init__.py")
        if not _is_installed(path):
            found.add(path.parents[depth - 1] if depth else path)
    return found


def _is_installed(path: Path) -> bool:
    homes = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
    return not _SKIPPED.isdisjoint(path.parts) or any(map(path.is_relative_to, (_OURS, *homes)))


class _Named:
    """What the workers' process has named: the other end of its pipe."""

    def __init__(self, number: int) -> None:
        self._number, self._begun = number, b""
        os.set_blocking(number, False)

    def read(self) -> list[str]:
        """The paths that came since the last time."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._number, 65_536):
                self._begun += part
        *lines, self._begun = self._begun.split(b"\n")
        return [os.fsdecode(line) for line in lines]

    def close(self) -> None:
        """Nothing more is wanted."""
        os.close(self._number)


def _start(arguments: Sequence[str]) -> tuple[subprocess.Popen[bytes], _Named]:
    ours, theirs = os.pipe()
    worker = subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-m", "streamq.cli", *arguments],
        env={**os.environ, _PIPE: str(theirs)},
        pass_fds=(theirs,),
    )
    os.close(theirs)
    return worker, _Named(ours)


def _first_change(
    watched: set[str], seen: Stamps, named: _Named, started: int, stopping: threading.Event
) -> str | None:
    """The first file that differs from what was seen, or None when it is time to stop. ``watched`` and ``seen`` grow.

    What is named now was read after ``started``: if it was written since, nobody knows what was read.
    """
    while not stopping.wait(_EVERY):
        new = set(named.read()) - watched
        watched |= new
        seen.update({path: stamp for path, stamp in _stamps(new).items() if stamp < started})
        now = _stamps(watched)
        for path in seen.keys() | now.keys():
            if seen.get(path) != now.get(path):
                return path
    return None


def _stamps(places: Iterable[str]) -> Stamps:
    """When each file was changed last."""
    found: Stamps = {}
    for place in places:
        for path in _python_files(place) if Path(place).is_dir() else [place]:
            with contextlib.suppress(OSError):  # it went away meanwhile
                found[os.path.realpath(path)] = Path(path).stat().st_mtime_ns
    return found


def _python_files(folder: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # it went away meanwhile
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                yield from _python_files(entry.path)
        elif entry.name.endswith(".py"):
            yield entry.path
