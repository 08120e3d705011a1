"""Schedules on every engine: kept, told to a worker when due, ticked once, and removed. Time is virtual."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drivers import Driver
from streamq.errors import ScheduleNotFound, WrongState
from streamq.protocol import schedules
from streamq.protocol.enqueue import NewJob
from streamq.queue import Queue
from streamq.schedules import Window, parse
from streamq.ticks.definition import Definition
from streamq.ticks.keeping import backfill, find, put, resume, run
from streamq.ticks.planning import Times, instant
from streamq.ticks.policies import Policies
from streamq.ticks.ticking import tick
from streamq.wire import Payloads

START = 1_793_000_038_000  # two seconds before a whole minute
PAYLOADS = Payloads("sq")


def definition(name: str = "report", expression: str = "every minute") -> Definition:
    body = PAYLOADS.pack("mail", "send", ("a@b.c",), {})
    return Definition(Times(name, parse(expression), Window(), Policies.of()), NewJob("send", body))


def test_a_schedule_makes_one_job_for_each_of_its_times(driver: Driver) -> None:
    at, queue = START, Queue("mail", now=START)
    assert driver.follow(put(queue.anchor, at, "api", definition()))
    assert not driver.follow(put(queue.anchor, at, "api", definition()))
    me = driver.run(queue.register(86_400_000)).consumer
    assert driver.run(queue.pop(me)).sleep == 2_000
    at += 2_000
    queue = Queue("mail", now=at)
    assert driver.run(queue.pop(me, 0)).commands[0] == "tick report"
    outcomes = [
        run.outcome.outcome
        for _ in range(3)
        for run in driver.follow(tick(queue.anchor, at, "mail", "report", PAYLOADS, lambda missed: None))
    ]
    assert outcomes == ["added"]
    [(_, flat)] = [(level, rows) for level, rows in _groups(driver.run(queue.pop(me, 10)).groups)]
    job, task, body = flat[2][0].decode(), flat[2][1], flat[2][2]
    opened = PAYLOADS.unpack("mail", "send", body)
    assert (task, opened.args) == (b"send", ["a@b.c"])
    assert opened.options == {"schedule": "report", "scheduled": at}
    assert driver.run(queue.job(job))["schedule"] == "report"
    assert driver.run(queue.conservation()).difference == 0


def _groups(groups: list[object]) -> list[tuple[object, list[object]]]:
    return list(zip(groups[::2], groups[1::2], strict=True))  # type: ignore[arg-type]


def test_it_is_run_by_hand_backfilled_paused_resumed_and_removed(driver: Driver) -> None:
    queue = Queue("mail", now=START)
    anchor, first = queue.anchor, instant(START) - timedelta(minutes=5)
    driver.follow(put(anchor, START, "cli", definition()))
    assert driver.follow(run(anchor, START, "mail", "report", PAYLOADS)).outcome.outcome == "added"
    for due in ("added", "before"):
        runs = driver.follow(backfill(anchor, START, "mail", "report", PAYLOADS, first, instant(START)))
        assert [one.outcome.outcome for one in runs] == [due] * 5
    driver.run(schedules.pause(anchor, START, "report", "why"))
    stored, clock = driver.follow(find(anchor, START, "mail", "report"))
    assert (stored.fields["paused_note"], clock) == ("why", START)
    driver.follow(resume(anchor, START + 600_000, "mail", "report"))
    stored, _ = driver.follow(find(anchor, START, "mail", "report"))
    assert stored.time("next_run_at") == START + 660_000 - START % 60_000
    with pytest.raises(WrongState, match="was added by cli"):
        driver.run(
            schedules.put(anchor, START, "report", "code", None, {**definition().fields, "app": "shop"})
        )
    assert list(driver.run(schedules.list_schedules(anchor, START)).found) == ["report"]
    driver.run(schedules.remove(anchor, START, "report"))
    with pytest.raises(ScheduleNotFound, match="no schedule report"):
        driver.run(schedules.remove(anchor, START, "report"))
