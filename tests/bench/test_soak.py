"""The soak: it passes on a fleet that is well, and says what is wrong with one that is not."""

from __future__ import annotations

import importlib.util

import pytest

from bench.ground import Run
from bench.soak import Line, judged, soak
from servers import Server
from streamq.protocol.inspect import Balance

WELL = Balance(0, {})


def _line(sizes: list[float], seconds_between: float = 10.0) -> Line:
    line = Line("worker 7 (USS)", lambda: 0, bound=0.3)
    line.samples = [(number * seconds_between, size) for number, size in enumerate(sizes)]
    return line


def test_memory_that_rises_without_end_is_said() -> None:
    (sentence,) = judged(5, 5, WELL, [_line([10 + number * 0.5 for number in range(60)])])
    assert sentence.startswith("memory grows: worker 7 (USS): 10.0 to 39.5 MB, +3.000 MB a minute")


@pytest.mark.parametrize(
    "sizes",
    [
        [10.0] * 60,
        [10 + number for number in range(20)] + [30.0] * 40,  # it warms up, then stays
        [10 + number % 4 for number in range(60)],  # it goes up and down
        [10 + number * 0.01 for number in range(60)],  # less than noise in all
        [],
    ],
)
def test_memory_that_stays_is_well(sizes: list[float]) -> None:
    assert judged(5, 5, WELL, [_line(sizes)]) == []


def test_jobs_that_are_lost_or_ended_otherwise_and_counters_that_are_off_are_said() -> None:
    assert judged(1000, 997, Balance(-1, {"enqueued": 1000, "completed": 997, "purged": 2}), []) == [
        "3 accepted jobs were not completed",
        "the counters are off by -1: {'enqueued': 1000, 'completed': 997, 'purged': 2}",
        "2 jobs ended as purged",
    ]


@pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="locust is not installed (extra 'bench')"
)
def test_a_short_soak_of_a_real_fleet_passes(valkey: Server, capsys: pytest.CaptureFixture[str]) -> None:
    found = soak(Run(valkey, 1.0), length=2.0, users=3, workers=1)
    assert found.wrong == []
    assert 0 < found.figures["accepted_jobs"] <= found.figures["completed_jobs"]
    assert "conservation: 0" in capsys.readouterr().out
