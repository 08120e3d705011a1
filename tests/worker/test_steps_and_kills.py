"""Worker processes that are killed in the middle of steps: what was noted is not run again."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from crew import Crew, until
from servers import Server


@pytest.fixture
def yard(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The tasks, on the server of the test."""
    monkeypatch.setenv("STREAMQ_URL", valkey.url)
    spec = importlib.util.spec_from_file_location("yard", Path(__file__).parent / "yard.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    module.app.close()


@pytest.mark.parametrize("task", ["goes_in_steps", "goes_in_steps_in_a_thread"])
def test_only_the_step_in_which_its_process_was_killed_runs_again(
    valkey: Server, tmp_path: Path, yard: ModuleType, task: str
) -> None:
    with Crew(valkey, tmp_path) as crew:
        job = getattr(yard, task).enqueue("a", 3, 0.3)
        until(lambda: crew.lines("step", "a", "1"))
        [child] = crew.children()
        child.kill()
        assert job.result(timeout=15) == [0, 1, 2]
        assert [line.split()[-1] for line in crew.lines("step", "a")] == ["0", "1", "1", "2"]


def test_no_job_goes_back_behind_a_step_that_it_finished_however_often_processes_are_killed(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    chance = random.Random(7)
    with Crew(valkey, tmp_path, workers=2) as crew:
        jobs = [yard.goes_a_long_way.enqueue(f"j{i}", 12) for i in range(20)]
        for round_ in range(5):
            until(lambda least=30 * round_ + 10: len(crew.lines("step")) >= least)
            with suppress(psutil.NoSuchProcess, IndexError):
                chance.choice(crew.children()).kill()
            for job in jobs[4 * round_ : 4 * round_ + 4]:  # some wait already, others have not come so far
                assert job.signal("go on", 7)
        assert [job.result(timeout=60) for job in jobs] == [[*range(9), 7, 9, 10, 11]] * 20
        runs = {f"j{i}": [int(line.split()[-1]) for line in crew.lines("step", f"j{i}")] for i in range(20)}
    assert all(steps == sorted(steps) for steps in runs.values())
    repeated = sum(len(steps) - 12 for steps in runs.values())
    assert repeated <= 5 * 20, "a kill repeats at most the step that each job was in"
    balance = yard.app.run(yard.app.queue().conservation())
    assert (balance.difference, balance.parts["completed"]) == (0, 20)
