"""Runs the measurements by name, and keeps what they found."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import time
from pathlib import Path

from bench.ground import Run, Server, machine

SCENARIOS = (
    *("raw", "limit", "engine", "enqueue", "drain", "steady"),
    *("pickup", "load", "lateness", "retries", "priorities"),
    *("payloads", "waiting", "recovery", "memory", "costs", "idle"),
)
BY_NAME = ("peers",)  # long, and it installs: only when asked for
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """``python -m bench [NAME …] [--server valkey|redis] [--no-aof] [--quick] [--peers NAME,NAME]``."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join((*SCENARIOS, *BY_NAME)))
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    parser.add_argument("--no-aof", action="store_true", help="without the append-only file")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the sizes: to see that it works")
    parser.add_argument(
        "--peers", default="", metavar="NAME,NAME", help="only these peers; implies the part 'peers'"
    )
    chosen = parser.parse_args()
    unknown = set(chosen.names) - {*SCENARIOS, *BY_NAME}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join((*SCENARIOS, *BY_NAME))}")
    peers = tuple(name for name in chosen.peers.split(",") if name)
    names = chosen.names or (["peers"] if peers else list(SCENARIOS))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and workers are ended too
    found = measure(names, chosen.server, not chosen.no_aof, 0.05 if chosen.quick else 1.0, peers)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{chosen.server}-{'aof' if not chosen.no_aof else 'memory'}-{int(time.time())}.json"
    file.write_text(json.dumps(found, indent=2))
    print(f"written to {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


def measure(
    names: list[str], kind: str, aof: bool, scale: float, peers: tuple[str, ...] = ()
) -> dict[str, object]:
    """All figures of the named scenarios, with the machine's description."""
    found: dict[str, object] = {}
    with Server(kind, aof=aof, tcp=True) as server:
        run = Run(server, scale, peers)
        found["machine"] = machine(server)
        for name in names:
            server.flush()
            figures = importlib.import_module(f"bench.scenarios.{name}").measure(run)
            found[name] = figures
            for figure, value in figures.items():
                print(f"{name:10} {figure:42} {_shown(value)}", flush=True)
    return found


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "  ".join(f"{name} {_shown(number)}" for name, number in value.items())
    return f"{value:,.3f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
