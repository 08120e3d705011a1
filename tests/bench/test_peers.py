"""Peers: what their files say is complete, and one of them, streamq, is measured like the others."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.compiling import NoCompiler, compiled
from bench.ground import Run
from bench.peers.crew import PeerFailed
from bench.peers.description import Peer, described, peers
from bench.peers.environments import NotInstalled, command
from bench.peers.listening import Listening
from bench.peers.postgres import NoPostgres, Postgres
from bench.peers.stand import Stand
from bench.peers.table import table
from bench.scenarios import peers as scenario
from servers import KINDS, Server

FIGURES = {
    "single_jobs_per_s", "single_p50_ms", "single_p99_ms", "bulk_jobs_per_s", "server_bytes_per_job",
    "drain_1_jobs_per_s", "drain_2_jobs_per_s", "pickup_p50_ms", "pickup_p99_ms",
}  # fmt: skip


@pytest.mark.parametrize("peer", peers(), ids=lambda peer: peer.name)
def test_a_peer_says_what_a_reader_of_its_figures_must_know(peer: Peer) -> None:
    assert all("==" in needed or needed == "typing_extensions" for needed in peer.dependencies)
    assert peer.worker
    assert peer.pace > 0
    for words in (peer.durability, peer.acknowledgement, peer.results, peer.settings, peer.transport):
        assert words


def test_a_name_that_no_peer_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no peer named sidekiq; there are arq, .*wakaq"):
        peers(("sidekiq",))


def test_a_file_without_a_block_is_no_peer() -> None:
    assert described(Path(__file__)) is None


def test_streamq_is_measured_as_any_other_peer(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "ROUNDS", 1)
    found = scenario.measure(Run(valkey, 0.0, ("streamq",)))
    assert set(found) == {"streamq.about", *(f"streamq.{name}" for name in FIGURES)}
    assert "durability" in str(found["streamq.about"])


def test_a_peer_that_cannot_be_had_is_reported_with_the_reason(
    valkey: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_environment(peer: Peer) -> Path:
        raise NotInstalled(f"{peer.name} is not for this machine")

    monkeypatch.setattr(scenario, "environment", no_environment)
    found = scenario.measure(Run(valkey, 0.0, ("arq",)))
    assert found == {"arq.not_available": "arq is not for this machine"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_server_accepts_newer_commands_by_a_module(kind: str, tmp_path: Path) -> None:
    try:
        module = compiled(scenario.NEWER, tmp_path, "-fPIC", "-shared")
    except NoCompiler as reason:
        pytest.skip(str(reason))
    with Server(kind, extra=("--loadmodule", str(module))) as server:
        call = server.raw.execute_command
        for _ in range(2):
            call("XADD", "s", "IDMP", "producer", "1", "*", "name", "value")
        server.raw.xgroup_create("s", "g", "0")
        ((_, entries),) = call(
            *["XREADGROUP", "GROUP", "g", "c", "COUNT", "10", "CLAIM", "1000", "STREAMS", "s", ">"]
        )
        assert len(entries) == 2
        assert call("XACKDEL", "s", "g", "IDS", 3, *(entry for entry, _ in entries), "5-5") == [1, 1, -1]
        assert server.raw.xlen("s") == 0
        assert server.raw.xpending("s", "g")["pending"] == 0


def test_a_worker_that_ends_is_a_failure_with_its_last_words(valkey: Server) -> None:
    (peer,) = peers(("streamq",))
    broken = replace(peer, worker=("sh", "-c", "echo out of luck; exit 3"))
    with pytest.raises(PeerFailed, match="its worker ended; its last words: out of luck"):
        Stand(broken, Run(valkey, 0.0)).round()


def test_a_command_that_is_nowhere_is_named() -> None:
    (peer,) = peers(("streamq",))
    with pytest.raises(NotInstalled, match="there is no no-such-command"):
        command(peer, ("no-such-command",))


def test_the_rate_is_that_between_the_first_tenth_and_the_last_twentieth(tmp_path: Path) -> None:
    listening = Listening(tmp_path / "tally")
    for second, count in enumerate((50, 100, 400, 960, 1000)):
        listening.heard([b"one", b"%d" % count, b"%d" % second])
    assert listening.rate(1000) == (960 - 100) / 2
    assert listening.total == 1000


def test_processes_are_added_up(tmp_path: Path) -> None:
    listening = Listening(tmp_path / "tally")
    listening.heard([b"one", b"5", b"1.0"])
    listening.heard([b"two", b"7", b"1.1"])
    listening.heard([b"one", b"6", b"1.2"])
    assert listening.total == 13


def test_the_table_has_the_fastest_first_and_says_who_is_missing() -> None:
    drain = "drain_1_jobs_per_s"
    figures = {
        "slow.about": "slow 1.0",
        f"slow.{drain}": {"median": 10.0, "least": 9.0, "most": 11.0},
        "gone.not_available": "no server",
        "fast.about": "fast 2.0",
        f"fast.{drain}": {"median": 2000.0, "least": 1500.0, "most": 2500.0},
    }
    lines = table(figures)
    assert lines[2].startswith("| fast | 2,000 (1,500 to 2,500) |  |")
    assert lines[3].startswith("| slow | 10 (9 to 11) |")
    assert lines[-3:] == [
        "- **fast**: fast 2.0",
        "- **slow**: slow 1.0",
        "- **gone** was not measured: no server",
    ]


def test_a_private_postgresql_is_started_and_emptied() -> None:
    try:
        with Postgres() as server:
            folder = server.folder
            server.flush()
            assert server.size() > 0
            assert int(server.version().split(".")[0]) > 9
    except NoPostgres as reason:
        pytest.skip(str(reason))
    deadline = time.monotonic() + 5
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not folder.exists()
