"""The report: what was asked is judged, parts of several results are put together, and plots are the same each time."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from bench.report.__main__ import whole, write
from bench.report.asked import at_least, at_most
from bench.report.derived import derived
from bench.report.page import page
from bench.report.results import merged
from bench.report.words import words_of

MACHINE = {
    "date": "2026-01-02 03:04 UTC",
    "python": "3.11",
    "system": "Linux",
    "cores": 2,
    "server": "valkey 9.1.2",
}
MACHINE |= {"aof": True, "versions": {"streamq": "0.1.0"}}


def _spread(median: float) -> dict[str, float]:
    return {"median": median, "least": median * 0.9, "most": median * 1.1}


def _result(**parts: dict[str, Any]) -> dict[str, Any]:
    return {"machine": MACHINE, **parts}


FULL = _result(
    raw={"add_server_us": 2.0, "drain_server_us": 4.0},
    engine={"add_server_us": 3.0, "drain_server_us": 6.0, "bytes_per_queued_job": 150.0},
    limit={"drain_1_jobs_per_s": _spread(200_000), "add_1_jobs_per_s": _spread(400_000)},
    drain={"async_1": _spread(90_000)},
    pickup={"p50_ms_1_idle": 0.3, "p99_ms_1_idle": 2.0},
    growth={
        "queued_1000.drain_jobs_per_s": _spread(90_000),
        "queued_2000.drain_jobs_per_s": _spread(80_000),
        "queued_1000.take_ms_at": {"p50": 0.2, "p99": 0.4, "p99.9": 2.0},
        "delayed_1000000.take_p99_9_ms": 7.5,
        "queued_drain_share": 0.95,
    },
    peers={
        **{
            f"{name}.drain_1_jobs_per_s": _spread(rate)
            for name, rate in {"streamq": 90_000, "saq": 3_000, "chasquimq": 30_000, "bullmq": 15_000}.items()
        },
        **{f"{name}.about": f"settings of {name}" for name in ("streamq", "saq", "chasquimq", "bullmq")},
        "celery.not_available": "no wheel",
    },
    profile={"wire: PING": 20.0, "worker: processor time, all of it": 4.0, "functions": "1.00 x  seat.py"},
    soak={"verdict": "passed", "accepted_jobs": 5},
)


@pytest.mark.parametrize(
    ("asked", "number", "said"),
    [
        (at_least(100), 100, "met"),
        (at_least(60, 100), 80, "met; **missed by 20%**"),
        (at_most(8, 6), 9, "**missed by 12%**; **missed by 50%**"),
        (at_most(1.0), 1.05, "**missed by 5.0%**"),
        (at_most(1.0), 1.00001, "**missed by 0.1%**"),
    ],
)
def test_a_bound_is_met_or_missed_by_a_share_of_it(asked: Any, number: float, said: str) -> None:
    assert asked.judged(number) == said


def test_the_headline_holds_figures_against_the_limit_raw_commands_and_the_best_peer_of_each_sort() -> None:
    (found,) = merged([FULL])
    assert derived(found) == pytest.approx(
        {"share_1": 45, "server_cost": 1.5, "times_best_python": 30, "times_best_other": 3}
    )


def test_without_a_limit_and_peers_there_is_no_headline() -> None:
    (found,) = merged([_result(drain={"async_1": 5.0})])
    assert derived(found) == {}
    assert "Headline" not in page([(found, {})], "", Path())


def test_of_two_results_of_one_kind_the_later_part_counts_and_other_kinds_stand_apart() -> None:
    other = {"machine": {**MACHINE, "server": "redis 7.0.15"}, "drain": {"async_1": 3.0}}
    first, second = merged([_result(drain={"async_1": 1.0}, raw={}), other, _result(drain={"async_1": 2.0})])
    assert (first.kind, first.number("drain", "async_1")) == ("valkey 9.1.2, AOF everysec", 2.0)
    assert "raw" in first.parts
    assert second.number("drain", "async_1") == 3.0


def test_a_part_that_failed_is_named_and_does_not_replace_what_was_measured_before() -> None:
    (found,) = merged(
        [_result(drain={"async_1": 1.0}), _result(drain={"failed": "TimeoutError: not within 120 s"})]
    )
    assert found.number("drain", "async_1") == 1.0
    assert "**drain failed**: TimeoutError: not within 120 s" in page([(found, {})], "", Path())


def test_results_of_quick_measurements_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    for name, scale in (("whole", 1.0), ("quick", 0.05)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"machine": {**MACHINE, "scale": scale}}))
    assert whole(tmp_path) == [tmp_path / "whole.json"]


def test_a_figure_without_words_is_shown_by_its_name_and_unit() -> None:
    assert words_of("new", "some_thing_ms")[:2] == ("some thing", "ms")


def test_every_section_says_what_was_measured() -> None:
    (found,) = merged([FULL])
    text = page([(found, {})], "notes at the end", Path())
    for line in (
        "| server memory of a queued plain job of 100 bytes | 150 bytes | ≤ 160; ≤ 140 | met; **missed by 7.1%** |",
        "| take beside 1,000,000 delayed jobs, p99.9 | 7.5 ms | ≤ 5 | **missed by 50%** |",
        "| 1,000 | 90,000 (81,000 to 99,000) |",
        "- **saq**: settings of saq",
        "- **celery** was not measured: no wheel",
        "1.00 x  seat.py",
        "| verdict | passed |  |  |",
    ):
        assert line in text
    assert text.endswith("notes at the end")


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed (extra 'bench')"
)
def test_every_plot_is_named_in_the_report_and_is_the_same_each_time(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(FULL))
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        write([file], tmp_path / place)
    one, other = (
        {plot.relative_to(tmp_path / place): plot.read_text() for plot in (tmp_path / place).rglob("*.svg")}
        for place in ("one", "other")
    )
    names = {name.stem for name in one}
    assert names == {"share", "peers", "latencies", "growth-queued", "growth-delayed", "takes", "profile"}
    assert one == other
    assert all("<dc:date>" not in text for text in one.values())
    text = (tmp_path / "one/PERFORMANCE_REPORT.md").read_text()
    assert all(f"]({name.as_posix()})" in text for name in one)
