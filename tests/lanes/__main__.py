"""The long form: many seeds, or planted bugs, on one kind of server."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter

from lanes.campaign import run_seeds
from lanes.plants import PLANTS
from servers import KINDS


def main() -> int:
    """Run what the arguments say; 1 when a rule was broken, or a planted bug stays unseen."""
    parser = argparse.ArgumentParser(prog="python -m lanes", description=__doc__)
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--seeds", type=int, default=30, help="with --plant the most that are tried")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--plant", nargs="+", help="planted bugs by name, or all")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    return _plant(chosen.server, chosen.plant, seeds) if chosen.plant else _run(chosen.server, seeds)


def _run(kind: str, seeds: range) -> int:
    began, seen, failed = time.monotonic(), Counter[str](), 0
    for seed, broken, counts in run_seeds(kind, seeds):
        seen.update(counts)
        failed += bool(broken)
        if broken:
            print(f"{seed:4} {broken}", flush=True)
    said = ", ".join(f"{name} {count}" for name, count in sorted(seen.items()))
    print(f"{kind}: {len(seeds)} seeds in {time.monotonic() - began:.0f} s, {failed} broken; {said}")
    return int(failed > 0)


def _plant(kind: str, names: list[str], seeds: range) -> int:
    unseen = []
    for name in PLANTS if names == ["all"] else names:
        caught = next((found for found in run_seeds(kind, seeds, PLANTS[name]) if found[1]), None)
        if caught is None:
            unseen.append(name)
        print(
            f"{kind} {name} -> {f'seed {caught[0]}: {caught[1][:140]}' if caught else 'NOT SEEN'}", flush=True
        )
    print(f"{len(unseen)} unseen: {unseen or 'none'}")
    return int(bool(unseen))


if __name__ == "__main__":
    sys.exit(main())
