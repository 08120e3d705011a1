"""The measurements run, at tiny sizes: what they find is not judged here, only that all of it is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import profile
from bench.__main__ import SCENARIOS, measure
from bench.compiling import NoCompiler, compiled
from bench.ground import Run
from bench.report.workloads import FAMILIES
from bench.scenarios import limit, memory
from servers import Server

ROOT = Path(__file__).parent.parent.parent
SLOW = ("limit", "idle")  # one has tests of its own below, the other starts a hundred processes


@pytest.mark.parametrize("part", FAMILIES)
def test_a_workload_finds_the_figures_that_the_report_has_words_for(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"bench.scenarios.{part}.ROUNDS", 1, raising=False)
    monkeypatch.setattr(memory, "HELD", 0.5)
    found = measure([part], "valkey", True, 0.0)
    assert set(found[part]) == set(FAMILIES[part])
    json.dumps(found)


def test_the_other_parts_find_figures() -> None:
    names = [name for name in SCENARIOS if name not in (*FAMILIES, *SLOW)]
    found = measure(names, "valkey", True, 0.0)
    assert list(found) == ["machine", *names]
    assert all(found.values())
    json.dumps(found)


def test_the_limit_is_measured_with_one_and_two_connections(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit, "CACHE", tmp_path)
    found = limit.measure(Run(server, 0.0))
    if "not_available" not in found:
        assert set(found) == {f"{what}_{n}_jobs_per_s" for what in ("add", "drain", "both") for n in (1, 2)}
        assert len(list((tmp_path / "limit").iterdir())) == 1


def test_without_a_compiler_the_limit_says_so(
    valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit, "CACHE", tmp_path)
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "no-such-compiler" in str(limit.measure(Run(valkey, 0.0))["not_available"])


def test_the_limits_client_refuses_what_it_does_not_understand(tmp_path: Path) -> None:
    try:
        program = compiled(limit.SOURCE, tmp_path)
    except NoCompiler as reason:
        pytest.skip(str(reason))
    done = subprocess.run(
        [program, "add", "/nowhere", "many", "1", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "many is no number" in done.stderr


def test_the_profile_has_the_producer_the_wire_the_server_and_the_worker(valkey: Server) -> None:
    figures, table = profile.measure(Run(valkey, 1.0), 200, 5)
    assert {name.partition(":")[0] for name in figures} == {"producer", "wire", "server", "Lua", "worker"}
    assert len(table) == 5


def test_a_part_that_does_not_exist_is_refused_by_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "drian"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "unknown: drian" in done.stderr
