"""``PYTHONPATH=tests python -m chaos kills --kills 1000 --jobs 100000``: the long forms; exit code 1 when something was lost."""

from __future__ import annotations

import argparse
import sys

from chaos.campaigns import kill_workers, restart_server
from servers import KINDS, Server


def main() -> int:
    """Run one campaign and print its verdict."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("campaign", choices=("kills", "restarts"))
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=1000, help="of workers, or of the server")
    parser.add_argument("--server", choices=KINDS, default="valkey")
    chosen = parser.parse_args()
    always = ("--appendfsync", "always") if chosen.campaign == "restarts" else ()
    with Server(chosen.server, aof=True, extra=always) as server:
        if chosen.campaign == "kills":
            verdict = kill_workers(server, jobs=chosen.jobs, kills=chosen.kills)
        else:
            verdict = restart_server(server, jobs=chosen.jobs, restarts=chosen.kills)
    print(verdict)
    return 1 if verdict.lost or verdict.unexpected or verdict.balance or verdict.dead else 0


if __name__ == "__main__":
    sys.exit(main())
