"""Runs the measurements by name, and keeps what they found."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.ground import Run, Server, machine

SCENARIOS = (
    *("raw", "limit", "engine", "enqueue", "drain", "steady"),
    *("pickup", "load", "lateness", "retries", "priorities"),
    *("payloads", "waiting", "recovery", "memory", "costs", "idle", "lanes"),
)
PARTS = (*SCENARIOS, "growth", "profile", "soak", "peers")  # the long ones last
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """``python -m bench [NAME …] [--server valkey|redis] [--no-aof] [--quick] [--peers NAME,NAME]``."""
    chosen = _arguments()
    peers = tuple(name for name in chosen.peers.split(",") if name)
    names = chosen.names or (["peers"] if peers else list(PARTS))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and workers are ended too
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{chosen.server}-{'memory' if chosen.no_aof else 'aof'}-{int(time.time())}.json"
    print(f"measures {', '.join(names)}; keeps what is found in {file}")
    scale = 0.05 if chosen.quick else 1.0
    found = measure(
        names,
        chosen.server,
        not chosen.no_aof,
        scale,
        peers,
        keep=lambda found: file.write_text(json.dumps(found, indent=2)),
    )
    failed = [name for name in names if "failed" in found[name]]
    if failed:
        print(f"failed: {', '.join(failed)}")
    sys.exit(bool(failed))


def measure(
    names: list[str],
    kind: str,
    aof: bool,
    scale: float,
    peers: tuple[str, ...] = (),
    keep: Callable[[dict[str, Any]], object] = lambda found: None,
) -> dict[str, Any]:
    """All figures of the named parts, with the machine's description; ``keep`` gets what was found so far after each part.

    A part that fails has ``failed`` in place of figures, and the next one is measured.
    """
    found: dict[str, Any] = {}
    with Server(kind, aof=aof, tcp=True) as server:
        run = Run(server, scale, peers)
        found["machine"] = {**machine(server), "scale": scale}
        for name in names:
            server.flush()
            began = time.monotonic()
            found[name] = _figures(name, run)
            for figure, value in found[name].items():
                print(f"{name:10} {figure:42} {_shown(value)}", flush=True)
            print(f"{name:10} took {time.monotonic() - began:.0f} s", flush=True)
            keep(found)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"all of them by default: {', '.join(PARTS)}"
    )
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey")
    parser.add_argument("--no-aof", action="store_true", help="without the append-only file")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the sizes: to see that it works")
    parser.add_argument(
        "--peers", default="", metavar="NAME,NAME", help="only these peers; implies the part 'peers'"
    )
    chosen = parser.parse_args()
    unknown = set(chosen.names) - {*PARTS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return chosen


def _figures(name: str, run: Run) -> dict[str, object]:
    part = importlib.import_module(f"bench.scenarios.{name}")
    try:
        found: dict[str, object] = part.measure(run)
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}
    return found


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "  ".join(f"{name} {_shown(number)}" for name, number in value.items())
    return f"{value:,.3f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
