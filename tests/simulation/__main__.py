"""The long form: many seeds, or planted bugs, on one kind of server.

PYTHONPATH=tests python -m simulation --seeds 300 --server valkey
PYTHONPATH=tests python -m simulation --seeds 60 --server redis --plant all
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter

from servers import KINDS
from simulation.campaign import run_seeds
from simulation.plants import PLANTS, SHORT, hunt


def main() -> int:
    """Run what the arguments say; 1 when a world shows a violation, or a planted bug stays unseen."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument(
        "--seeds", type=int, default=30, help="how many seeds; with --plant the most that are tried"
    )
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--duration", type=int, help="ms of virtual time in which producers produce")
    parser.add_argument("--plant", nargs="+", help="planted bugs by name, or all; --plant list shows them")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    if chosen.plant == ["list"]:
        print("\n".join(PLANTS))
        return 0
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    return _plant(chosen, seeds) if chosen.plant else _run(chosen, seeds)


def _run(chosen: argparse.Namespace, seeds: range) -> int:
    seen: Counter[str] = Counter()
    begun, failed, worst = time.monotonic(), 0, 0
    for outcome in run_seeds(chosen.server, seeds, duration=chosen.duration):
        seen.update(outcome.seen)
        worst = max(worst, outcome.worst_oversleep)
        failed += bool(outcome.violation)
        said = outcome.violation or f"ok, {outcome.events} events, oversleep {outcome.worst_oversleep} ms"
        print(
            f"{outcome.seed:4} {outcome.kind:8} {outcome.digest} {outcome.server_digest} {said}", flush=True
        )
    took = time.monotonic() - begun
    print(
        f"{chosen.server}: {len(seeds)} seeds in {took:.0f} s, {failed} violations, worst oversleep {worst} ms"
    )
    print(", ".join(f"{name} {number}" for name, number in sorted(seen.items())))
    return int(failed > 0)


def _plant(chosen: argparse.Namespace, seeds: range) -> int:
    names = list(PLANTS) if chosen.plant == ["all"] else chosen.plant
    unseen = []
    for name in names:
        begun, caught = time.monotonic(), hunt(chosen.server, name, seeds, chosen.duration or SHORT)
        if caught is None:
            unseen.append(name)
        said = f"seed {caught.seed} {caught.kind}: {caught.violation[:150]}" if caught else "NOT SEEN"
        print(f"{chosen.server} {name} ({time.monotonic() - begun:.0f} s) -> {said}", flush=True)
    print(f"{len(names) - len(unseen)} of {len(names)} planted bugs were seen; unseen: {unseen or 'none'}")
    return int(bool(unseen))


if __name__ == "__main__":
    sys.exit(main())
