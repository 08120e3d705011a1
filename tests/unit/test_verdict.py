"""What a handler raised becomes a verdict."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streamq.errors import BadPayload, Cancelled, KeyMissing
from streamq.options import TaskOptions
from streamq.outcomes import Dead, Retry, Snooze
from streamq.worker.verdict import Attempt, Fault, Stop, judge, unknown


def attempt(number: int = 1, age: float = 0.0, **options: Any) -> Attempt:
    return Attempt(number, age, TaskOptions.of(**options))


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(("number", "delay"), [(1, 2.0), (2, 4.0), (3, 8.0), (9, 300.0)])
def test_a_failure_is_retried_with_a_delay_that_doubles_to_a_cap(number: int, delay: float) -> None:
    verdict = judge(raised(ValueError("no")), attempt(number, attempts=20))
    assert (verdict.outcome, verdict.delay) == ("retry", delay)


def test_the_last_attempt_is_the_end() -> None:
    verdict = judge(raised(ValueError("no")), attempt(3, attempts=3))
    assert (verdict.outcome, verdict.reason) == ("dead", "failed 3 times")


def test_a_retry_that_would_come_after_the_time_budget_is_the_end() -> None:
    assert judge(raised(ValueError()), attempt(1, age=7, retry_for=10)).outcome == "retry"
    assert judge(raised(ValueError()), attempt(1, age=9, retry_for=10)).outcome == "dead"


def test_errors_that_shall_not_be_retried_are_the_end_at_once_with_their_subclasses() -> None:
    assert judge(raised(UnicodeError("x")), attempt(no_retry=ValueError)).outcome == "dead"
    assert judge(raised(KeyError("x")), attempt(no_retry=ValueError)).outcome == "retry"


def test_a_handler_chooses_how_its_run_ends() -> None:
    assert judge(Retry("30s"), attempt()).delay == 30
    assert judge(Retry(), attempt()).delay == 2
    assert judge(Retry("30s"), attempt(5, attempts=5)).outcome == "dead"
    assert judge(Snooze("5m", reason="busy"), attempt(5, attempts=5)).outcome == "snooze"
    dead = judge(Dead("card is stolen"), attempt())
    assert (dead.outcome, dead.fault) == ("dead", Fault("Dead", "card is stolen"))
    assert judge(Cancelled("not needed"), attempt()).outcome == "cancelled"


@pytest.mark.parametrize(
    ("stop", "outcome"),
    [(Stop.CANCEL, "cancelled"), (Stop.SHUTDOWN, "release"), (Stop.FENCED, None), (Stop.TIMEOUT, "retry")],
)
def test_a_handler_that_the_worker_ended_is_judged_by_the_reason_whatever_it_raises(
    stop: Stop, outcome: str | None
) -> None:
    for error in (asyncio.CancelledError(), ValueError("in cleaning up")):
        run = Attempt(1, 0.0, TaskOptions(), stop=stop, limit=5)
        assert judge(raised(error), run).outcome == outcome


def test_a_timeout_says_how_long_it_was_allowed() -> None:
    run = Attempt(1, 0.0, TaskOptions(), stop=Stop.TIMEOUT, limit=5)
    verdict = judge(raised(asyncio.CancelledError()), run)
    assert verdict.fault is not None
    assert verdict.fault.text == "it ran longer than 5 s"


def test_a_payload_that_cannot_be_read_is_dead_and_one_whose_key_is_elsewhere_waits() -> None:
    assert judge(BadPayload("truncated"), attempt()).outcome == "dead"
    assert judge(KeyMissing("key 7"), attempt()).outcome == "park"
    assert unknown("send_emial").outcome == "park"


def test_arguments_that_do_not_fit_are_dead() -> None:
    run = Attempt(1, 0.0, TaskOptions(), misfit=True)
    assert judge(raised(TypeError("f() missing 1 argument")), run).reason == "arguments do not fit"


def test_texts_are_bounded_and_odd_errors_do_no_harm() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def deep(n: int) -> None:
        deep(n - 1) if n else (_ for _ in ()).throw(ValueError("é" * 50_000))

    for error in (Odd(), raised(ValueError("é" * 50_000))):
        fault = judge(raised(error), attempt()).fault
        assert fault is not None
        assert len(fault.text.encode()) <= 8192
        assert len(fault.traceback.encode()) <= 8192


def test_a_backoff_function_that_fails_gives_way_to_the_default() -> None:
    def broken(attempt: int, error: BaseException) -> float:
        raise RuntimeError("broken")

    assert judge(raised(ValueError()), attempt(2, backoff=broken)).delay == 4
    chosen = judge(
        raised(ValueError("429")), attempt(backoff=lambda n, error: 60 if "429" in str(error) else 1)
    )
    assert chosen.delay == 60


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]
)
def test_what_is_no_exception_is_a_failure_all_the_same(error: BaseException) -> None:
    assert judge(raised(error), attempt()).outcome == "retry"
