"""``streamq work --reload``: runs the workers in a process of their own, and anew whenever a Python file changes.

For development. The files below the current folder are looked at twice a second; nothing has to be installed for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

__all__ = ["run_reloading"]

_EVERY = 0.5  # seconds
_SKIPPED = {"__pycache__", "node_modules", "site-packages"}


def run_reloading(arguments: Sequence[str], folder: Path) -> int:
    """Run ``streamq`` with these arguments until we are told to stop; its exit code."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    while True:
        seen = _stamps(folder)
        worker = subprocess.Popen([sys.executable, "-m", "streamq.cli", *arguments])  # noqa: S603 - ourselves
        changed = _first_change(folder, seen, stopping)
        worker.terminate()
        status = worker.wait()
        if changed is None:
            return status
        click.echo(f"streamq: {changed} has changed; the workers start anew", err=True)


def _first_change(folder: Path, seen: dict[str, int], stopping: threading.Event) -> str | None:
    """The first file that differs from what was seen, or None when it is time to stop."""
    while not stopping.wait(_EVERY):
        now = _stamps(folder)
        for path in seen.keys() | now.keys():
            if seen.get(path) != now.get(path):
                return os.path.relpath(path, folder)
    return None


def _stamps(folder: Path) -> dict[str, int]:
    """When each file was changed last."""
    return {entry.path: entry.stat().st_mtime_ns for entry in _python_files(folder)}


def _python_files(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                yield from _python_files(entry.path)
        elif entry.name.endswith(".py") and entry.is_file():
            yield entry
