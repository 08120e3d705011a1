"""Limits on every engine, through the operations of a shard: the clock is the test's."""

from __future__ import annotations

from typing import Any

import pytest

from drivers import Driver
from streamq.config import Config
from streamq.errors import JobNotFound, QueueFull
from streamq.protocol import limits
from streamq.protocol.consume import RECORD, handed_out, plain, settle
from streamq.protocol.enqueue import NewJob
from streamq.queue import Queue

NOW = 1_800_000_000_000
A = "sq:{mail}"


class Shard:
    """One shard at a time that the test says, with one consumer."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.at(NOW)
        self.consumer = driver.run(self.queue.register(86_400_000)).consumer

    def at(self, now: int) -> None:
        self.queue = Queue("mail", now=now)

    def put(self, *lanes: str, **options: Any) -> list[str]:
        more = [part for pair in options.items() for part in pair]
        return self.driver.run(
            self.queue.push([NewJob("send", b"body", options=("lane", lane, *more)) for lane in lanes])
        ).ids

    def take(self, n: int = 100) -> list[tuple[str, str]]:
        """Entry and job of each delivery."""
        found = []
        for level, rows in handed_out(self.driver.run(self.queue.pop(self.consumer, n)).groups):
            assert level == b"l"
            found += [(entry.decode(), _job(words, value)) for entry, words, value in rows]
        return found

    def done(self, *taken: tuple[str, str]) -> None:
        entries, jobs = zip(*taken, strict=True)
        self.driver.run(self.queue.settle(self.consumer, plain("l", entries, "", jobs)))

    def settle(self, outcome: str, entry: str, *pairs: Any) -> None:
        self.driver.run(self.queue.settle(self.consumer, settle(outcome, "l", entry, pairs)))

    def declare(self, **rules: str) -> None:
        self.driver.follow(limits.declare(A, self.queue.now, rules))

    def limit(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.driver.run(limits.limit(A, self.queue.now, name))
        return found


def _job(words: bytes, value: Any) -> str:
    job: bytes = value[0] if words == RECORD else words.split(b" ")[0]
    return job.decode()


@pytest.fixture
def shard(driver: Driver) -> Any:
    made = Shard(driver)
    yield made
    assert driver.run(made.queue.conservation()).difference == 0


def test_a_bucket_gives_its_burst_and_then_what_drips_into_it(shard: Shard) -> None:
    shard.declare(openai="rate=10 burst=3")
    jobs = shard.put(*["openai"] * 6)
    first = shard.take()
    assert [job for _, job in first] == jobs[:3]
    shard.at(NOW + 99)
    assert shard.take() == []
    shard.at(NOW + 200)
    assert [job for _, job in shard.take()] == jobs[3:5]


def test_slots_are_given_back_by_every_end(shard: Shard) -> None:
    shard.declare(account="slots=1")
    shard.put(*["account"] * 5)
    for end, *pairs in (["done"], ["dead"], ["cancelled"], ["retry", "delay", 60_000]):
        ((entry, _),) = shard.take()
        assert (shard.take(), shard.limit("account")["used"]) == ([], "1")
        shard.settle(end, entry, *pairs)
    (last,) = shard.take()
    shard.done(last)
    assert shard.limit("account")["used"] == "0"


def test_a_limit_that_a_job_shuts_opens_after_its_time_and_the_job_is_the_first(shard: Shard) -> None:
    shard.declare(openai="slots=1")
    jobs = shard.put("openai", "openai")
    ((entry, _),) = shard.take()
    shard.settle("limited", entry, "delay", 5_000, "limit", "openai")
    shard.at(NOW + 4_999)
    assert shard.take() == []
    shard.at(NOW + 5_000)
    assert [job for _, job in shard.take()] == jobs[:1]


def test_what_an_operator_says_wins_until_it_is_unset(shard: Shard) -> None:
    shard.declare(**{"tenant:*": "slots=1"})
    shard.put(*["tenant:acme"] * 4)
    assert len(shard.take()) == 1
    shard.driver.follow(limits.override(A, NOW, "tenant:*", "slots=3", "anna"))
    assert len(shard.take()) == 2
    shard.driver.follow(limits.unset(A, NOW, "tenant:*", "anna"))
    assert (shard.take(), shard.limit("tenant:acme")["used"]) == ([], "3")
    with pytest.raises(JobNotFound, match="was not set"):
        shard.driver.follow(limits.unset(A, NOW, "tenant:*", "anna"))


def test_tokens_that_outsiders_take_are_missing_to_jobs_and_an_estimate_is_trued_up(shard: Shard) -> None:
    shard.declare(openai="rate=10 burst=100", other="rate=1 burst=1")
    both = [("openai", "30"), ("other", "1")]
    assert shard.driver.run(limits.acquire(A, NOW, both)).granted
    assert shard.driver.run(limits.acquire(A, NOW, both)) == (False, 1000, "other")
    assert shard.limit("openai")["tokens"] == "70"
    shard.put("openai*", cost="50")
    assert len(shard.take()) == 1
    shard.driver.run(limits.spent(A, NOW, "openai", "-40"))
    assert shard.limit("openai")["tokens"] == "60"


def test_a_quota_refuses_the_whole_call_and_says_when_to_come_again(shard: Shard) -> None:
    shard.declare(**{"tenant:*": "most=2"})
    with pytest.raises(QueueFull, match="tenant:acme is full"):
        shard.put("tenant:other", "tenant:acme", "tenant:acme", "tenant:acme")
    assert len(shard.put("tenant:acme", "tenant:other", "tenant:acme")) == 3
    assert len(shard.take()) == 3
    assert len(shard.put("tenant:acme")) == 1


def test_above_the_mark_of_the_memory_no_jobs_are_taken_in_and_those_that_are_in_go_on(
    shard: Shard, config: Config
) -> None:
    shard.put("tenant:acme")
    shard.declare(memory="bytes=1")
    if config.url == "memory://conformance":  # which knows nothing of its memory
        assert len(shard.put("tenant:acme")) == 1
        return
    with pytest.raises(QueueFull, match="memory is full: bytes: the server uses") as full:
        shard.put("tenant:acme")
    assert full.value.limit == "memory"
    assert len(shard.take()) == 1
    shard.declare(memory="bytes=off")
    assert len(shard.put("tenant:acme")) == 1


def test_all_limits_and_lanes_are_listed_page_by_page(shard: Shard) -> None:
    rules = {f"l{n}": f"rate={n + 1}" for n in range(300)}
    shard.declare(**rules)
    shard.driver.run(limits.stop(A, NOW, "l7", 60_000, "anna"))
    shard.put(*(f"l{n}" for n in range(300)))
    found = shard.driver.follow(limits.limits(A, NOW))
    assert {info.name: info.rule for info in found} == rules
    assert {info.name: info.closed_until_ms for info in found if info.closed_until_ms} == {"l7": NOW + 60_000}
    shard.at(NOW + 500)
    lanes = shard.driver.follow(limits.lanes(A, NOW + 500, 1000))
    assert {lane.lane for lane in lanes} == set(rules)
    assert {(lane.waiting, lane.level, lane.weight) for lane in lanes} == {(1, 5, 1.0)}
