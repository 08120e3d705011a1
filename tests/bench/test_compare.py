"""Comparing two results: what counts as a regression, and the exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import compare


def _compared(
    before: dict[str, Any], after: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> int:
    files = []
    for name, figures in (("before", before), ("after", after)):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps({"machine": {"cores": 2}, "part": figures}))
    monkeypatch.setattr(sys, "argv", ["compare", *map(str, files)])
    with pytest.raises(SystemExit) as end:
        compare.main()
    return int(end.value.code or 0)


def _spread(median: float, least: float, most: float) -> dict[str, float]:
    return {"median": median, "least": least, "most": most}


@pytest.mark.parametrize(
    ("name", "before", "after", "code"),
    [
        ("drain_jobs_per_s", 100, 85, 1),
        ("drain_jobs_per_s", 100, 95, 0),
        ("drain_jobs_per_s", 100, 300, 0),
        ("single_p50_ms", 1.0, 1.2, 1),
        ("single_p50_ms", 1.2, 1.0, 0),
        ("add_server_us", 2.0, 3.0, 1),
        ("server_bytes_per_job", 130, 160, 1),
        ("commands_per_s_of_100_idle_workers", 10, 20, 1),
        ("drain", _spread(100, 80, 120), _spread(85, 79, 90), 0),
        ("drain", _spread(100, 95, 120), _spread(80, 75, 90), 1),
    ],
)
def test_a_figure_that_is_worse_beyond_tolerance_and_spread_ends_with_one(
    name: str, before: Any, after: Any, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _compared({name: before}, {name: after}, tmp_path, monkeypatch) == code


def test_words_and_figures_of_one_result_only_are_no_regression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {"rate_per_s": 5, "gone_per_s": 5, "about": "a"}
    assert _compared(before, {"rate_per_s": 5, "about": "b"}, tmp_path, monkeypatch) == 0
    assert "part.gone_per_s" in capsys.readouterr().out


def test_results_without_a_common_figure_cannot_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _compared({"one": 1}, {"other": 1}, tmp_path, monkeypatch) == 2
