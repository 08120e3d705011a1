"""Strikes and real worker processes: what matches is not run from the moment on that the strike is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from crew import Crew, until
from servers import Server


def waiting(yard: ModuleType, count: int) -> Callable[[], bool]:
    """Whether so many jobs are put aside."""
    return lambda: sum(strike.waiting for strike in yard.app.strikes.list()) == count


def test_no_job_that_matches_begins_after_the_strike_and_all_of_them_run_when_it_is_lifted(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, workers=2) as crew:
        yard.add.enqueue(1, 1).result(timeout=10)
        strike = yard.app.strikes.add(yard.add, where={"a": 7}, note="sevens")
        struck = [yard.add.enqueue(7, i) for i in range(200)]
        others = [yard.add.enqueue(8, i) for i in range(200)]
        assert [job.result(timeout=10) for job in others] == [8 + i for i in range(200)]
        until(waiting(yard, 200))
        assert crew.lines("add", "7") == []
        assert "struck: add where a=7, until it is lifted" in struck[0].explain()
        assert yard.app.strikes.remove(strike)
        assert [job.result(timeout=10) for job in struck] == [7 + i for i in range(200)]
        assert [job.info().attempts for job in struck[:3]] == [0, 0, 0]
        assert yard.app.run(yard.app.queue().conservation()).difference == 0


def test_what_workers_hold_and_have_not_begun_is_put_aside_and_what_runs_goes_on(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, concurrency=1) as crew:
        running = yard.nap.enqueue("runs", 1.5)
        until(crew.begun("runs"))
        held = [yard.nap.enqueue("held", 0) for _ in range(5)]
        strike = yard.app.strikes.add("nap")
        assert running.result(timeout=10) == "runs"
        until(waiting(yard, 5))
        assert crew.lines("begin", "held") == []
        yard.app.strikes.remove(strike)
        assert [job.result(timeout=10) for job in held] == ["held"] * 5


def test_a_worker_that_starts_later_and_threads_and_isolated_jobs_obey_too(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    for task in ("add_in_thread", "isolated_once"):
        yard.app.strikes.add(task, for_="1h")
    struck = [yard.add_in_thread.enqueue(1, 2), yard.isolated_once.enqueue(3)]
    with Crew(valkey, tmp_path):
        assert yard.add.enqueue(1, 2).result(timeout=10) == 3
        until(waiting(yard, 2))
        assert {strike.task for strike in yard.app.strikes.list()} == {"isolated_once", "add_in_thread"}
        for strike in yard.app.strikes.list():
            yard.app.strikes.remove(strike.id)
        assert [job.result(timeout=10) for job in struck] == [3, 3]


def test_a_strike_ends_by_itself_at_its_time(valkey: Server, tmp_path: Path, yard: ModuleType) -> None:
    with Crew(valkey, tmp_path):
        yard.app.strikes.add("add", for_=1)
        job = yard.add.enqueue(1, 2)
        until(waiting(yard, 1))
        assert job.result(timeout=10) == 3
        assert yard.app.strikes.list() == []


def test_a_large_payload_is_held_against_its_conditions_too(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        yard.app.strikes.add("nap", where={"seconds": 0.5})
        yard.nap.enqueue("x" * 20_000, 0.5)
        other = yard.nap.enqueue("y" * 20_000, 0)
        assert other.result(timeout=10) == "y" * 20_000
        until(waiting(yard, 1))
        assert crew.lines("begin", "x" * 20_000) == []
