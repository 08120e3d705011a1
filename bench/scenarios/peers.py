"""Other queues with the same job on the same server, in the same run: a round of each, then the next round.

``python -m bench --peers arq,streamq`` runs some. A peer that cannot be had, or fails, is reported with the reason.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from bench.compiling import NoCompiler, compiled
from bench.ground import Run, Server, middle
from bench.peers.crew import PeerFailed
from bench.peers.description import Peer, peers
from bench.peers.environments import NotInstalled, environment, versions
from bench.peers.postgres import NoPostgres, Postgres
from bench.peers.stand import Stand
from bench.places import CACHE, ROOT

NEWER = ROOT / "bench/peers/newer.c"
ROUNDS = 3


def measure(run: Run) -> dict[str, object]:
    """Figures named ``<peer>.<figure>``, and of each peer ``about`` (versions and settings) or ``not_available``."""
    figures: dict[str, object] = {}
    values: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        stands = [stand for peer in peers(run.peers) if (stand := _ready(stack, run, peer, figures))]
        for number in range(ROUNDS):
            for stand in [*stands]:
                print(f"round {number + 1} of {ROUNDS}: {stand.peer.name}", flush=True)
                try:
                    for figure, value in stand.round().items():
                        values.setdefault(f"{stand.peer.name}.{figure}", []).append(value)
                except PeerFailed as reason:
                    figures[f"{stand.peer.name}.not_available"] = str(reason)
                    stands.remove(stand)
    return figures | {figure: middle(each) for figure, each in values.items()}


def _ready(stack: contextlib.ExitStack, run: Run, peer: Peer, figures: dict[str, object]) -> Stand | None:
    """A peer with its environment and its server; None, and a figure that says why, when they are not to be had."""
    try:
        environment(peer)
        postgres = stack.enter_context(Postgres()) if peer.server == "postgres" else None
        is_old = peer.server == "redis 8.6" and not _is_redis_8_6(run.server)
        stand = Stand(peer, _with_newer(stack, run) if is_old else run, postgres)
        found = versions(peer) | ({"PostgreSQL": postgres.version()} if postgres else {})
    except (NotInstalled, NoPostgres, NoCompiler) as reason:
        figures[f"{peer.name}.not_available"] = str(reason)
        return None
    listed = ", ".join(f"{name} {number}" for name, number in found.items())
    server = f"server: {NEWER.name} in place of Redis 8.6; " if is_old else ""
    figures[f"{peer.name}.about"] = f"{listed}; {server}{peer.about}"
    return stand


def _is_redis_8_6(server: Server) -> bool:
    info = server.raw.info("server")
    return "valkey_version" not in info and tuple(map(int, info["redis_version"].split("."))) >= (8, 6)


def _with_newer(stack: contextlib.ExitStack, run: Run) -> Run:
    """The same kind of server once more, with the module that makes it accept the newer commands. Raises NoCompiler."""
    module = compiled(NEWER, CACHE / "newer", "-fPIC", "-shared")
    extra = ("--loadmodule", str(module))
    return replace(
        run, server=stack.enter_context(Server(run.server.kind, aof=run.server.aof, tcp=True, extra=extra))
    )
