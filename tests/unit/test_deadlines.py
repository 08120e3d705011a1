"""What a task usually takes, and what a deadline means for a job, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.errors import ConfigError
from streamq.options import CallOptions, TaskOptions
from streamq.worker.deadlines import FORGOTTEN, TooLate, Usual, refuse_late
from streamq.worker.verdict import Attempt, Stop, judge


def test_nothing_is_usual_before_a_few_runs_and_after_a_while_without_any() -> None:
    usual = Usual()
    usual.learn(4, 4.0, 100.0)
    assert usual.mean(100.0) is None
    usual.learn(1, 1.0, 101.0)
    assert usual.mean(101.0) == pytest.approx(1.0)
    assert usual.mean(101.0 + FORGOTTEN) == pytest.approx(1.0)
    assert usual.mean(102.0 + FORGOTTEN) is None
    usual.learn(1, 1.0, 102.0 + FORGOTTEN)
    assert usual.mean(102.0 + FORGOTTEN) is None, "what was forgotten does not come back"


def test_what_is_usual_follows_what_the_runs_take_now() -> None:
    usual = Usual()
    for second in range(100):
        usual.learn(10, 100.0 if second < 50 else 1.0, float(second))
    assert usual.mean(100.0) == pytest.approx(0.1, rel=0.6)


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0.001, 100)), min_size=5, max_size=50))
def test_what_is_usual_lies_between_the_shortest_and_the_longest_run(
    lessons: list[tuple[int, float]],
) -> None:
    usual = Usual()
    for second, (runs, each) in enumerate(lessons):
        usual.learn(runs, runs * each, float(second))
    mean = usual.mean(float(len(lessons)))
    assert mean is not None
    assert min(each for _, each in lessons) * 0.999 <= mean <= max(each for _, each in lessons) * 1.001


@pytest.mark.parametrize(
    ("left", "usual", "said"),
    [
        (0.2, 1.3, r"deadline in 0\.2 s, it takes 1\.3 s"),
        (-2.0, None, r"its deadline was 2\.0 s ago"),
    ],
)
def test_what_cannot_be_finished_in_time_is_refused_with_the_reason(
    left: float, usual: float | None, said: str
) -> None:
    with pytest.raises(TooLate, match=said):
        refuse_late(left, usual)


@pytest.mark.parametrize(("left", "usual"), [(0.2, None), (1.3, 1.3), (float("inf"), 1e9)])
def test_what_may_be_finished_in_time_is_run(left: float, usual: float | None) -> None:
    refuse_late(left, usual)


def attempt(left: float, stop: Stop | None = None, **options: Any) -> Attempt:
    return Attempt(1, 0.0, TaskOptions.of(**options), stop=stop, limit=0.7, left=left)


def test_a_run_that_the_deadline_ends_has_expired_and_one_that_its_timeout_ends_has_failed() -> None:
    late = judge(TimeoutError(), attempt(-0.01, Stop.TIMEOUT))
    assert (late.outcome, late.reason) == ("expired", "its deadline came after 0.7 s of its run")
    assert judge(TimeoutError(), attempt(9.0, Stop.TIMEOUT)).outcome == "retry"


def test_a_failure_is_the_end_when_the_deadline_comes_before_the_next_attempt() -> None:
    verdict = judge(ValueError("no"), attempt(1.0, backoff=2))
    assert (verdict.outcome, verdict.reason) == ("dead", "its deadline comes before its next attempt")
    assert judge(ValueError("no"), attempt(3.0, backoff=2)).outcome == "retry"


def test_a_deadline_is_a_time_or_a_duration_and_the_later_word_wins() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    first, second = CallOptions.of(deadline="5m"), CallOptions.of(deadline=moment)
    assert (first.deadline, second.deadline) == (300.0, moment)
    assert first.then(second).deadline == moment
    assert first.then(CallOptions.of(priority=1)).deadline == 300.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"deadline": 0}, "deadline=0 leaves no time"),
        ({"deadline": None}, "is not a duration"),
        ({"deadline": datetime(2030, 1, 1)}, "has no time zone"),
        ({"deadline": "5m", "delay": "10m"}, "over before the job is due"),
        (
            {"deadline": datetime(2030, 1, 1, tzinfo=UTC), "at": datetime(2030, 1, 2, tzinfo=UTC)},
            "over before the job is due",
        ),
    ],
)
def test_a_deadline_that_cannot_be_meant_is_refused(words: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CallOptions.of(**words)


def test_a_deadline_after_the_due_time_is_accepted() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    CallOptions.of(deadline="10m", delay="5m")
    CallOptions.of(deadline=moment + timedelta(hours=1), at=moment)
