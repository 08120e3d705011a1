"""Other queues with the same job on the same server, in the same run: a round of each, then the next round.

``python -m bench --peers arq,streamq`` runs some. A peer that cannot be had, or fails, is reported with the reason.
"""

from __future__ import annotations

import contextlib

from bench.ground import Run, middle
from bench.peers.crew import PeerFailed
from bench.peers.description import Peer, peers
from bench.peers.environments import NotInstalled, environment, versions
from bench.peers.postgres import NoPostgres, Postgres
from bench.peers.stand import Stand

ROUNDS = 3


class WrongServer(Exception):
    """The run's server is not one that a peer works with; the sentence says which it needs."""


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
        _check_server(run, peer)
        environment(peer)
        postgres = stack.enter_context(Postgres()) if peer.server == "postgres" else None
        found = versions(peer) | ({"PostgreSQL": postgres.version()} if postgres else {})
    except (NotInstalled, NoPostgres, WrongServer) as reason:
        figures[f"{peer.name}.not_available"] = str(reason)
        return None
    listed = ", ".join(f"{name} {number}" for name, number in found.items())
    figures[f"{peer.name}.about"] = f"{listed}; {peer.about}"
    return Stand(peer, run, postgres)


def _check_server(run: Run, peer: Peer) -> None:
    """A peer that wants ``redis <version>`` gets no other server. Raises WrongServer."""
    kind, _, least = peer.server.partition(" ")
    if not least:
        return
    info = run.server.raw.info("server")
    name = str(info.get("server_name", "redis"))
    number = str(info.get("valkey_version", info["redis_version"]))
    if name != kind or _ordered(number) < _ordered(least):
        raise WrongServer(f"it needs {peer.server} or newer, and the server of this run is {name} {number}")


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
