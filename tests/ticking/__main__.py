"""The long form, and planted bugs; exit code 1 when a time has not exactly one job, or a planted bug stays unseen."""

from __future__ import annotations

import argparse
import sys

from servers import KINDS
from ticking.campaign import Scale, Verdict, run
from ticking.plants import PLANTS


def main() -> int:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m ticking", description=__doc__)
    parser.add_argument("--server", choices=KINDS, default="valkey")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=10, help="of virtual time")
    parser.add_argument("--speed", type=float, default=500, help="virtual seconds in a real one")
    parser.add_argument("--pause", type=float, default=0.2, help="real seconds between two kills, about")
    parser.add_argument(
        "--restart", type=float, default=0, help="real seconds between two kills of the server; 0: never"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", nargs="+", help="planted bugs by name, or all")
    chosen = parser.parse_args()
    scale = Scale(
        chosen.processes,
        chosen.schedules,
        chosen.hours,
        chosen.speed,
        chosen.pause,
        chosen.restart,
        chosen.seed,
    )
    if not chosen.plant:
        verdict = run(chosen.server, scale)
        print(verdict)
        return int(not verdict.is_good)
    names = list(PLANTS) if chosen.plant == ["all"] else chosen.plant
    seen = {name: _planted(chosen.server, scale, name) for name in names}
    return int(any(verdict.is_good for verdict in seen.values()))


def _planted(kind: str, scale: Scale, name: str) -> Verdict:
    verdict = run(kind, scale, PLANTS[name])
    print(f"{name}: {'NOT SEEN' if verdict.is_good else 'seen'}\n  {verdict}", flush=True)
    return verdict


if __name__ == "__main__":
    sys.exit(main())
