"""Deadlines and real worker processes: what is too late is not begun, or ended, and says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from crew import Crew, until
from servers import Server
from streamq.errors import Expired
from streamq.states import State


def learnt(yard: ModuleType, task: str, runs: int) -> Callable[[], bool]:
    """Whether the worker has told the server of so many runs: then it knows what is usual."""

    def is_told() -> bool:
        now = int(time.time()) // 60
        minutes = yard.app.run(yard.app.queue().minutes(now - 1, now))
        names = [(name, count) for minute in minutes for name, count in minute.counts.items()]
        return sum(count for name, count in names if name.startswith(f"run:{task}:")) >= runs

    return is_told


def test_a_job_that_the_deadline_leaves_less_time_than_it_takes_is_let_go_before_it_begins(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        first = yard.nap.using(deadline=5).enqueue("unknown", 0.4)
        assert first.result(timeout=10) == "unknown"
        for job in [yard.nap.enqueue("usual", 0.4) for _ in range(5)]:
            job.result(timeout=10)
        until(learnt(yard, "nap", 6))
        late = yard.nap.using(deadline=0.2).enqueue("late", 0.4)
        with pytest.raises(Expired, match=r"expired: deadline in 0\.\d s, it takes 0\.4 s; it has no result"):
            late.result(timeout=10)
        assert (late.status(), crew.lines("begin", "late")) == (State.EXPIRED, [])
        assert late.info().reason.startswith("deadline in")
        [told] = crew.logged("job.expired")
        assert (told["job"], told["task"], told["reason"][:11]) == (late.id, "nap", "deadline in")
        assert late.explain().startswith("expired\ndeadline in")
        assert yard.nap.using(deadline=5).enqueue("enough", 0).result(timeout=10) == "enough"
        assert yard.app.run(yard.app.queue().conservation()).difference == 0


@pytest.mark.parametrize("task", ["nap", "nap_in_thread", "isolated"])
def test_a_run_ends_at_the_deadline_of_its_job(
    task: str, valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    arguments = (0.7,) if task == "nap_in_thread" else (task, 0.7)
    with Crew(valkey, tmp_path):
        job = getattr(yard, task).using(deadline=0.3, timeout=60).enqueue(*arguments)
        with pytest.raises(Expired, match=r"its deadline came after 0\.\d s of its run"):
            job.result(timeout=10)


def test_a_job_whose_deadline_came_while_it_waited_is_not_begun(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, concurrency=1) as crew:
        running = yard.nap.enqueue("runs", 1)
        until(crew.begun("runs"))
        late = yard.nap.using(deadline=0.3).enqueue("late", 0)
        with pytest.raises(Expired, match="its deadline was"):
            late.result(timeout=10)
        assert running.result(timeout=10) == "runs"
        assert crew.lines("begin", "late") == []
