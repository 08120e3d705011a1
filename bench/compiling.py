"""Small C programs of the measurements, compiled on this machine when they are needed, and kept in ``.bench/``."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["NoCompiler", "compiled"]

FLAGS = ("-O2", "-std=c11", "-D_GNU_SOURCE")


class NoCompiler(Exception):
    """This machine cannot compile the program; the sentence says why."""


def compiled(source: Path, cache: Path, *flags: str) -> Path:
    """The program made of a file; compiled once for each version of it. Raises NoCompiler."""
    name = os.environ.get("CC", "cc")
    compiler = shutil.which(name)
    if compiler is None:
        raise NoCompiler(f"no C compiler named {name}; install one, or set CC")
    program = cache / f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{os.getpid()}")
        words = [compiler, *FLAGS, *flags, "-o", str(fresh), str(source)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoCompiler(f"{compiler} refused {source.name}: {done.stderr.strip()}")
        fresh.rename(program)
    return program
