"""An environment for each peer: a venv or a folder of npm packages in ``.bench/``, made once and kept.

What a peer needs is stated with exact versions in its file; a change there makes the environment anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from bench.peers.description import Peer
from bench.places import CACHE, ROOT

__all__ = ["NotInstalled", "command", "environment", "variables", "versions"]


PIP = ("-m", "pip", "--disable-pip-version-check")
OURS = ["streamq", "hiredis", "msgspec", "uvloop"]


class NotInstalled(Exception):
    """A peer cannot be had on this machine; the sentence says why."""


def environment(peer: Peer) -> Path:
    """The folder of a peer's environment, made when it is not there. Raises NotInstalled."""
    folder = CACHE / (peer.environment or peer.name)
    stamp = folder / "made-of"
    digest = hashlib.sha256("\n".join((sys.version, *peer.dependencies)).encode()).hexdigest()
    if peer.dependencies and not (stamp.exists() and stamp.read_text() == digest):
        shutil.rmtree(folder, ignore_errors=True)
        print(f"installing {', '.join(peer.dependencies)} for {peer.name}", flush=True)
        _make_venv(folder, peer) if peer.is_python else _make_npm(folder, peer)
        stamp.write_text(digest)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def command(peer: Peer, words: tuple[str, ...]) -> list[str]:
    """A command of a peer, with its first word found in the peer's environment."""
    folder = _programs(peer)
    first = folder / words[0]
    program = str(first) if first.exists() else shutil.which(words[0])
    if program is None:
        raise NotInstalled(f"{peer.name}: there is no {words[0]} in its environment and none on the PATH")
    return [program, *words[1:]]


def variables(peer: Peer, extra: dict[str, str]) -> dict[str, str]:
    """The environment variables that its processes get: those of here, with its programs first."""
    path = f"{_programs(peer)}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "BENCH_ENVIRONMENT": str(_folder(peer)),
        **extra,
    }


def versions(peer: Peer) -> dict[str, str]:
    """The installed versions of what it needs, by name."""
    if peer.is_python:
        words = [str(_programs(peer) / "python"), *PIP, "list", "--format", "json"]
        installed = {row["name"].lower(): row["version"] for row in json.loads(_run(peer, words))}
        names = [*map(_bare, peer.dependencies), "redis"] if peer.dependencies else OURS
        return {name: installed[name.lower()] for name in dict.fromkeys(names) if name.lower() in installed}
    words = ["npm", "ls", "--json", "--depth=0", "--prefix", str(_folder(peer))]
    listed = json.loads(_run(peer, words)).get("dependencies", {})
    return {name: row["version"] for name, row in listed.items()}


def _bare(requirement: str) -> str:
    return requirement.partition("==")[0].partition("[")[0]


def _folder(peer: Peer) -> Path:
    return CACHE / (peer.environment or peer.name)


def _programs(peer: Peer) -> Path:
    if not peer.dependencies:
        return Path(sys.executable).parent
    return _folder(peer) / ("bin" if peer.is_python else "node_modules/.bin")


def _make_venv(folder: Path, peer: Peer) -> None:
    venv.create(folder, with_pip=True)
    _run(peer, [str(folder / "bin/python"), *PIP, "install", "--quiet", *peer.dependencies])


def _make_npm(folder: Path, peer: Peer) -> None:
    if shutil.which("npm") is None:
        raise NotInstalled(f"{peer.name}: there is no npm on this machine")
    folder.mkdir(parents=True)
    packages = [name.replace("==", "@") for name in peer.dependencies]
    _run(peer, ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), *packages])


def _run(peer: Peer, words: list[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=900)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip() or error.stdout.strip() or "no word").splitlines()[-1]
        raise NotInstalled(f"{peer.name}: {' '.join(words[:4])} … failed: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(
            f"{peer.name}: {' '.join(words[:4])} … took longer than {error.timeout:.0f} s"
        ) from error
    return done.stdout
