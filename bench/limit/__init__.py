"""The limit of the server: a C client without any logic, compiled on this machine when it is needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["NoCompiler", "compiled"]

SOURCE = Path(__file__).parent / "life.c"
FLAGS = ("-O2", "-std=c11", "-D_GNU_SOURCE")


class NoCompiler(Exception):
    """This machine cannot compile the client; the sentence says why."""


def compiled(cache: Path) -> Path:
    """The program made of life.c; compiled once for each version of it. Raises NoCompiler."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompiler(f"no C compiler named {os.environ.get('CC', 'cc')}; install one, or set CC")
    program = cache / f"life-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            [compiler, *FLAGS, "-o", fresh, SOURCE], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NoCompiler(f"{compiler} refused {SOURCE.name}: {done.stderr.strip()}")
        fresh.rename(program)
    return program
