"""Names of calls, and the collecting of concurrent enqueues, without a server: a function stands for what carries calls."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from streamq.collecting import AsyncCollector, Collector
from streamq.errors import Reentered, ServerUnavailable, UniqueConflict
from streamq.producer import MAX_BATCH_BYTES, MAX_CHANNELS, NAME_LIFETIME, Producer, batches
from streamq.protocol.enqueue import MAX_BATCH, Enqueued, NewJob


def job(number: int, body: bytes = b"") -> NewJob:
    return NewJob("task", body or str(number).encode())


class Carrier:
    """Answers each job with its own body as the id; remembers the calls. ``gate``: what a call waits for."""

    def __init__(self, refuse: Callable[[NewJob], bool] = lambda job: False) -> None:
        self.calls: list[list[bytes]] = []
        self.refuse = refuse
        self.started = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def send(self, jobs: Sequence[NewJob]) -> Enqueued:
        self.calls.append([job.body for job in jobs])
        self.started.set()
        assert self.gate.wait(10)
        return self.answer(jobs)

    def answer(self, jobs: Sequence[NewJob]) -> Enqueued:
        if any(self.refuse(job) for job in jobs):
            raise UniqueConflict("taken")
        return Enqueued([job.body.decode() for job in jobs], {})


def test_a_channel_carries_one_call_at_a_time_and_counts_its_calls() -> None:
    producer = Producer()
    first, second = producer.borrow(), producer.borrow()
    assert first.number != second.number
    calls = [first.call("sq:{mail}", [job(1)]), first.call("sq:{mail}", [job(1)])]
    assert [list(call.args[1:4]) for call in calls] == [[producer.name, first.number, n] for n in (1, 2)]
    producer.give_back(first)
    assert producer.borrow() is first


def test_a_name_is_left_after_half_a_day_and_its_channels_end() -> None:
    now = 0.0
    producer = Producer(lambda: now)
    old = producer.borrow()
    now = NAME_LIFETIME
    new = producer.borrow()
    producer.give_back(old)
    assert old.producer != new.producer
    assert producer.borrow().producer == new.producer


def test_no_call_waits_for_a_channel_when_all_are_in_use() -> None:
    producer = Producer()
    borrowed = [producer.borrow() for _ in range(MAX_CHANNELS + 1)]
    assert len({(channel.producer, channel.number) for channel in borrowed}) == MAX_CHANNELS + 1
    assert max(channel.number for channel in borrowed) == MAX_CHANNELS


def test_batches_keep_the_order_and_the_limits_of_a_call() -> None:
    assert [len(batch) for batch in batches(job(n) for n in range(MAX_BATCH * 2 + 1))] == [
        MAX_BATCH,
        MAX_BATCH,
        1,
    ]
    large = [job(n, bytes(MAX_BATCH_BYTES // 3)) for n in range(7)]
    assert [len(batch) for batch in batches(large)] == [3, 3, 1]


def in_threads(collector: Collector, carrier: Carrier, numbers: Sequence[int]) -> dict[int, str | Exception]:
    """Enqueue 0 alone, and while its call is in flight all others, each from a thread of its own."""
    outcomes: dict[int, str | Exception] = {}

    def enqueue(number: int) -> None:
        try:
            outcomes[number] = collector.enqueue(job(number))
        except Exception as error:
            outcomes[number] = error

    carrier.gate.clear()
    threads = [threading.Thread(target=enqueue, args=(number,)) for number in (0, *numbers)]
    threads[0].start()
    assert carrier.started.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(collector._waiting) < len(numbers):
        threading.Event().wait(0.001)
    carrier.gate.set()
    for thread in threads:
        thread.join(10)
    return outcomes


def test_what_threads_enqueue_during_a_call_goes_together_in_the_next() -> None:
    carrier = Carrier()
    outcomes = in_threads(Collector(carrier.send), carrier, range(1, 50))
    assert outcomes == {n: str(n) for n in range(50)}
    assert [len(call) for call in carrier.calls] == [1, 49]


def test_a_job_that_is_refused_does_not_fail_those_that_share_its_call() -> None:
    carrier = Carrier(lambda job: job.body == b"3")
    outcomes = in_threads(Collector(carrier.send), carrier, range(1, 6))
    assert isinstance(outcomes.pop(3), UniqueConflict)
    assert outcomes == {n: str(n) for n in (0, 1, 2, 4, 5)}


def test_after_a_failed_call_the_next_enqueue_is_sent() -> None:
    carrier = Carrier()
    failing = True

    def send(jobs: Sequence[NewJob]) -> Enqueued:
        if failing:
            raise ServerUnavailable("away")
        return carrier.send(jobs)

    collector = Collector(send)
    with pytest.raises(ServerUnavailable):
        collector.enqueue(job(1))
    failing = False
    assert collector.enqueue(job(2)) == "2"


def test_a_signal_handler_that_enqueues_in_the_middle_of_an_enqueue_is_refused() -> None:
    carrier = Carrier()
    refused: list[BaseException] = []

    def interrupted(jobs: Sequence[NewJob]) -> Enqueued:
        with pytest.raises(Reentered, match="Set a flag") as caught:
            collector.enqueue(job(2))
        refused.append(caught.value)
        return carrier.send(jobs)

    collector = Collector(interrupted)
    assert [collector.enqueue(job(1)), collector.enqueue(job(3))] == ["1", "3"]
    assert len(refused) == 2


async def enqueue(collector: AsyncCollector, number: int) -> str:
    return await collector.enqueue(job(number))


async def async_collected(
    carrier: Carrier, cancel: Sequence[int], numbers: Sequence[int]
) -> list[str | BaseException]:
    """As ``in_threads``, with awaits; those in ``cancel`` are cancelled while the shared call is in flight."""
    in_flight, gate = asyncio.Event(), asyncio.Event()

    async def send(jobs: Sequence[NewJob]) -> Enqueued:
        carrier.calls.append([job.body for job in jobs])
        if len(carrier.calls) == 2:
            in_flight.set()
            await gate.wait()
        await asyncio.sleep(0)
        return carrier.answer(jobs)

    collector = AsyncCollector(send)
    tasks = [asyncio.create_task(enqueue(collector, number)) for number in numbers]
    await in_flight.wait()
    for number in cancel:
        tasks[number].cancel()
    gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_concurrent_awaits_share_calls() -> None:
    carrier = Carrier()
    assert asyncio.run(async_collected(carrier, (), range(100))) == [str(n) for n in range(100)]
    assert [len(call) for call in carrier.calls] == [1, 49, 50]


def test_cancelling_one_await_cancels_no_other() -> None:
    outcomes = asyncio.run(async_collected(Carrier(), (1, 4), range(6)))
    assert [isinstance(one, asyncio.CancelledError) for one in outcomes] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    assert [outcomes[n] for n in (0, 2, 3, 5)] == ["0", "2", "3", "5"]


def test_cancelling_the_first_await_still_sends_what_it_held_up() -> None:
    sent: list[int] = []
    reached = asyncio.Event()

    async def send(jobs: Sequence[NewJob]) -> Enqueued:
        sent.append(len(jobs))
        if len(sent) == 1:
            reached.set()
            await asyncio.sleep(60)
        return Enqueued([job.body.decode() for job in jobs], {})

    async def scenario() -> list[str]:
        collector = AsyncCollector(send)
        first = asyncio.create_task(enqueue(collector, 0))
        await reached.wait()
        others = [asyncio.create_task(enqueue(collector, n)) for n in range(1, 4)]
        await asyncio.sleep(0)
        first.cancel()
        return list(await asyncio.gather(*others))

    assert asyncio.run(scenario()) == ["1", "2", "3"]
    assert sent == [1, 3]


def test_a_refused_job_among_awaits_fails_alone() -> None:
    outcomes = asyncio.run(async_collected(Carrier(lambda job: job.body == b"2"), (), range(5)))
    assert isinstance(outcomes[2], UniqueConflict)
    assert [outcomes[n] for n in (0, 1, 3, 4)] == ["0", "1", "3", "4"]
