"""What a peer's file says about itself in the block of TOML that it begins with.

The block is the one of PEP 723, behind ``#`` or ``//``, so that it can be read without the peer being installed:

    # /// script
    # dependencies = ["arq==0.28.0"]
    # [tool.bench]
    # worker = ["arq", "bench.peers.arq.WorkerSettings"]
    # …
    # ///
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Peer", "described", "peers"]

BLOCK = re.compile(r"(?m)^(?P<mark>#|//) /// script$\n(?P<lines>(?:^(?:#|//)(?: .*)?$\n)+?)^(?:#|//) ///$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One peer.

    ``worker`` is its own command; with ``{processes}`` in it, it is started once, else once for each process.
    ``pace``: about how many jobs a second a process runs, from which the number of jobs is worked out. ``bulk`` is how
    many jobs are put in at once (empty: it has no way). ``server``: ``redis``, ``redis 8.6`` or ``postgres``.
    ``environment``: that of another peer's name, when they share one.
    """

    name: str
    file: Path
    dependencies: tuple[str, ...]
    worker: tuple[str, ...]
    pace: int
    bulk: str
    transport: str
    durability: str
    acknowledgement: str
    results: str
    settings: str
    server: str = "redis"
    environment: str = ""

    @property
    def is_python(self) -> bool:
        return self.file.suffix == ".py"

    @property
    def about(self) -> str:
        """All that a reader of its figures must know."""
        said = {
            "bulk": self.bulk or "none",
            "transport": self.transport,
            "durability": self.durability,
            "acknowledgement": self.acknowledgement,
            "results": self.results,
            "settings": self.settings,
        }
        return "; ".join(f"{name}: {words}" for name, words in said.items())


def peers(names: tuple[str, ...] = ()) -> list[Peer]:
    """The named peers, or all of them, by name. Raises ValueError for a name that nobody has."""
    files = (file for file in sorted(Path(__file__).parent.iterdir()) if file.suffix in (".py", ".mjs"))
    found = {peer.name: peer for file in files if (peer := described(file)) is not None}
    unknown = set(names) - set(found)
    if unknown:
        raise ValueError(f"no peer named {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    return [found[name] for name in names or found]


def described(file: Path) -> Peer | None:
    """What a file says; None when it has no block."""
    block = BLOCK.search(file.read_text())
    if block is None:
        return None
    text = "".join(line.removeprefix(block["mark"])[1:] + "\n" for line in block["lines"].splitlines())
    said: dict[str, Any] = tomllib.loads(text)
    about: dict[str, Any] = said["tool"]["bench"]
    about["worker"] = tuple(about["worker"])
    return Peer(name=file.stem, file=file, dependencies=tuple(said["dependencies"]), **about)
