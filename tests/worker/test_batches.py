"""Batches on a real server: each caller has the result of its own item, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from crew import Crew
from crew import until as wait_until
from deaf_proxy import DeafProxy
from inside import counted, until, working
from servers import Server
from streamq.app import App
from streamq.context import BatchContext
from streamq.errors import Cancelled, Expired, JobFailed
from streamq.events import Event
from streamq.options import Unique
from streamq.outcomes import Dead, Outcome, Retry, Snooze
from streamq.protocol.enqueue import NewJob


@pytest.fixture
def app(server: Server) -> Iterator[App]:
    with App(server.url) as made:
        yield made


@dataclass
class Item:
    tenant: str
    number: int = 0
    text: str = ""


def test_callers_await_their_own_items_and_a_bad_one_costs_the_others_no_attempt(app: App) -> None:
    runs: list[list[int]] = []
    events: list[Event] = []
    app.on("job.started", "job.completed", "job.retrying", "job.dead")(events.append)

    @app.batch(size=10, wait=0.05, attempts=3, backoff=0.01)
    async def index(ctx: BatchContext, items: list[Item]) -> list[str | Outcome]:
        runs.append([item.number for item in items])
        first = [job.attempt == 1 for job in ctx.jobs]
        said: dict[int, Outcome] = {1: Retry(0.01), 2: Snooze(0.01), 3: Dead("no such row")}
        return [
            said[item.number]
            if item.number == 3 or (item.number in said and len(runs) == 1)
            else f"{item.number} {is_first}"
            for item, is_first in zip(items, first, strict=True)
        ]

    async def scene() -> None:
        async with working(app):
            jobs = await app.aenqueue_many([index.call(Item("acme", i)) for i in range(6)])
            done = [await jobs[i].aresult(timeout=10) for i in (0, 1, 2, 4, 5)]
            assert done == ["0 True", "1 False", "2 True", "4 True", "5 True"]
            with pytest.raises(JobFailed, match="no such row"):
                await jobs[3].aresult(timeout=10)
            await counted(app, completed=5, dead=1, active=0)

    asyncio.run(scene())
    assert runs[0] == [0, 1, 2, 3, 4, 5]
    assert sorted(number for run in runs[1:] for number in run) == [1, 2]
    assert Counter(event.name for event in events) == {
        "job.started": 8,
        "job.completed": 5,
        "job.retrying": 2,
        "job.dead": 1,
    }


def test_a_handler_that_raises_fails_all_and_each_has_its_own_attempts(app: App) -> None:
    @app.batch(wait=0.05, attempts=2, backoff=0.01)
    def never(items: list[int]) -> None:
        raise ConnectionError("the index is away")

    async def scene() -> None:
        async with working(app):
            jobs = [never.call(1), never.using(attempts=3).call(2), never.using(delay=0.1).call(3)]
            made = await app.aenqueue_many(jobs)
            await counted(app, dead=3, active=0, delayed=0)
            infos = [await job.ainfo() for job in made]
            assert [info.attempts for info in infos] == [2, 3, 2]
            assert {info.error for info in infos} == {"ConnectionError: the index is away"}
            assert all("streamq/worker" not in info.traceback for info in infos)

    asyncio.run(scene())


@pytest.mark.parametrize("slots", [1, 3])
def test_so_much_is_fetched_that_groups_fill(app: App, slots: int) -> None:
    sizes: list[int] = []

    @app.batch(size=150, wait=60)
    async def index(items: list[int]) -> list[int]:
        sizes.append(len(items))
        await asyncio.sleep(0.002)
        return items

    async def scene() -> None:
        jobs = [job for _ in range(2) for job in await app.aenqueue_many([index.call(i) for i in range(750)])]
        async with working(app, concurrency=slots):
            assert await jobs[0].aresult(timeout=20) == 0
            await counted(app, completed=1500)

    asyncio.run(scene())
    assert sizes == [150] * 10


def test_payloads_of_all_kinds_gather_and_a_wrong_one_is_a_dead_letter_alone(app: App) -> None:
    @app.batch(size=100, wait=0.2, by="tenant", result_ttl="1m")
    async def lengths(items: list[Item]) -> list[int]:
        assert len({item.tenant for item in items}) == 1
        return [len(item.text) for item in items]

    large = "".join(chr(33 + i * 7919 % 90) for i in range(100_000))
    push = app.queue().push

    async def scene() -> None:
        async with working(app):
            small = await lengths.aenqueue(Item("acme", 1, "abc"))
            big = await lengths.using(tags=["big"]).aenqueue(Item("acme", 2, large))
            other = await lengths.using(delay=0.05).aenqueue(Item("zeta", 3, "ab"))
            bodies = [b'[[{"tenant": "acme"}]]', b'[[{"tenant": 7}]]', b'[[{"tenant": "a"}, 1]]', b"[[]]"]
            await app.arun(push([NewJob("lengths", body) for body in bodies]))
            assert [await job.aresult(timeout=10) for job in (small, big, other)] == [3, 100_000, 2]
            await counted(app, completed=4, dead=3)
            page = await app.arun(app.queue().list_jobs("dead"))
            reasons = Counter(row.fields["reason"] for row in page.jobs)
            assert reasons == {"bad payload": 1, "arguments do not fit": 2}

    asyncio.run(scene())


def test_a_member_is_cancelled_alone_whether_it_gathers_or_runs(app: App) -> None:
    runs: list[list[int]] = []

    @app.batch(size=3, wait=60)
    async def waits(ctx: BatchContext, items: list[int]) -> list[int]:
        runs.append(items)
        while not ctx.jobs[2].cancelled:
            await asyncio.sleep(0.005)
        assert not ctx.cancelled
        return items

    async def scene() -> None:
        async with working(app):
            jobs = [await waits.aenqueue(i) for i in range(2)]
            await counted(app, active=2)
            await jobs[0].acancel()
            with pytest.raises(Cancelled):
                await jobs[0].aresult(timeout=10)
            jobs += [await waits.aenqueue(i) for i in (2, 3)]
            await until(lambda: asyncio.sleep(0, runs))
            await jobs[3].acancel()
            assert [await jobs[i].aresult(timeout=10) for i in (1, 2)] == [1, 2]
            with pytest.raises(Cancelled):
                await jobs[3].aresult(timeout=10)
            await counted(app, completed=2, cancelled=2, active=0)

    asyncio.run(scene())
    assert runs == [[1, 2, 3]]


def test_an_item_whose_deadline_passes_while_it_gathers_is_left_out(app: App) -> None:
    @app.batch(size=100, wait=0.6)
    async def index(items: list[int]) -> list[list[int]]:
        return [items for _ in items]

    async def scene() -> None:
        async with working(app):
            late = await index.using(deadline=0.3).aenqueue(1)
            in_time = await index.using(deadline=30).aenqueue(2)
            assert await in_time.aresult(timeout=10) == [2]
            with pytest.raises(Expired, match="deadline"):
                await late.aresult(timeout=10)
            await counted(app, completed=1, active=0)

    asyncio.run(scene())


def test_a_worker_that_stops_runs_what_gathers_and_does_not_wait(app: App) -> None:
    runs: list[list[int]] = []

    @app.batch(size=100, wait=60)
    def index(items: list[int]) -> None:
        runs.append(sorted(items))

    async def scene() -> None:
        async with working(app):
            await app.aenqueue_many([index.call(i) for i in range(3)])
            await counted(app, active=3)
        async with app:
            await counted(app, completed=3, active=0)

    asyncio.run(scene())
    assert runs == [[0, 1, 2]]


def test_a_unique_item_is_put_in_once_and_again_when_it_has_ended(app: App) -> None:
    @app.batch(wait=0.05, unique=Unique(by="item"))
    async def index(items: list[str]) -> list[int]:
        return [len(items)] * len(items)

    async def scene() -> None:
        first, again = index.enqueue("a"), index.enqueue("a")
        assert again == first
        async with working(app):
            assert await first.aresult(timeout=10) == 1
            assert index.enqueue("a") != first
            await counted(app, completed=2)

    asyncio.run(scene())


def test_items_that_waited_in_lanes_run_together_and_their_results_come_back(app: App) -> None:
    def tenant(item: Item) -> str:
        return item.tenant

    @app.batch(size=5, wait=0.1, by="tenant", lane=tenant)
    async def index(items: list[Item]) -> list[str | Outcome]:
        return [Retry(0.01) if item.number == 29 and len(items) > 1 else item.tenant for item in items]

    async def scene() -> None:
        async with working(app, concurrency=3):
            jobs = await app.aenqueue_many([index.call(Item(f"t{i % 3}", i)) for i in range(30)])
            assert [await job.aresult(timeout=10) for job in jobs] == [f"t{i % 3}" for i in range(30)]
            await counted(app, completed=30, active=0, waiting=0)

    asyncio.run(scene())


def test_batches_and_jobs_of_other_tasks_share_a_queue(app: App) -> None:
    @app.batch(size=20, wait=0.02)
    async def many(items: list[int]) -> list[int]:
        await asyncio.sleep(0.001)
        return [-item for item in items]

    @app.task
    async def one(item: int) -> int:
        await asyncio.sleep(0.001)
        return item

    @app.task
    def in_thread(item: int) -> int:
        return item

    async def scene() -> None:
        tasks: list[Any] = [many, one, in_thread]
        async with working(app, concurrency=3):
            jobs = await app.aenqueue_many([tasks[i % 3].call(i) for i in range(900)])
            found = await asyncio.gather(*(job.aresult(timeout=30) for job in jobs))
            assert found == [-i if i % 3 == 0 else i for i in range(900)]
            await counted(app, completed=900, active=0)

    asyncio.run(scene())


def test_a_lost_reply_of_a_take_loses_no_item_and_runs_none_twice(valkey: Server) -> None:
    runs: list[int] = []
    with DeafProxy(valkey.socket) as proxy, App(proxy.url) as app, App(valkey.url) as direct:

        async def counts(items: list[int]) -> None:
            runs.extend(items)
            await asyncio.sleep(0.002)

        app.batch(size=7, wait=0.05)(counts)
        sender = direct.batch()(counts)

        async def scene() -> None:
            async with direct, working(app, concurrency=10):
                for i in range(200):
                    if i % 50 == 0:
                        proxy.lose(b"sq1_take")
                    await sender.aenqueue(i)
                    if i % 50 == 0:
                        while proxy.lost <= i // 50:
                            await asyncio.sleep(0.005)
                await counted(direct, completed=200, active=0, pending=0)

        asyncio.run(scene())
    assert sorted(runs) == list(range(200))


def test_a_lease_that_cannot_be_renewed_ends_a_run_and_drops_what_gathers() -> None:
    runs: list[list[int]] = []
    ended: list[bool] = []
    with Server("valkey") as server, App(server.url, lease=1.0) as app:

        @app.batch(size=3, wait=60, backoff=0.01)
        async def holds(ctx: BatchContext, items: list[int]) -> None:
            runs.append(items)
            if len(runs) == 1:
                try:
                    await asyncio.sleep(60)
                finally:
                    ended.append(ctx.cancelled and all(job.cancelled for job in ctx.jobs))

        async def scene() -> None:
            async with working(app, concurrency=2):
                await app.aenqueue_many([holds.call(i) for i in range(5)])
                await counted(app, active=5)
                server.signal(signal.SIGSTOP)
                while not ended:
                    await asyncio.sleep(0.01)
                server.signal(signal.SIGCONT)
                await holds.aenqueue(5)
                await counted(app, completed=6, active=0)

        asyncio.run(scene())
    assert ended == [True]
    assert [len(run) for run in runs] == [3, 3, 3]
    assert sorted(item for run in runs[1:] for item in run) == list(range(6))


# Real processes


@pytest.fixture
def packing(
    valkey: Server, yard_at: Callable[[Server], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """The tasks, batches among them."""
    monkeypatch.setenv("BATCHES", "1")
    return yard_at(valkey)


def test_members_of_a_run_that_was_killed_run_again_and_none_is_blamed(
    valkey: Server, tmp_path: Path, packing: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        jobs = packing.app.enqueue_many([packing.packs.call(f"n{i}") for i in range(5)])
        waits = packing.packs.enqueue("sleeps-once")
        wait_until(crew.begun("sleeps-once"))
        [child] = crew.children()
        child.kill()
        assert [job.result(timeout=20) for job in jobs] == [f"n{i}" for i in range(5)]
        assert waits.result(timeout=20) == "sleeps-once"
        assert len(crew.lines("begin", "n0")) == len(crew.lines("begin", "sleeps-once")) == 2
        [lost] = crew.logged("worker.lost")
        assert len(lost["suspects"]) == 6
        stats = packing.app.run(packing.app.queue().stats())
        assert (stats["completed"], stats["dead"], stats["active"]) == ("6", "0", "0")
        assert packing.app.run(packing.app.queue().conservation()).difference == 0


def test_one_poison_item_is_found_among_its_company_and_the_others_complete(
    valkey: Server, tmp_path: Path, packing: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        jobs = packing.app.enqueue_many([packing.packs.call(f"n{i}") for i in range(5)])
        poison = packing.packs.enqueue("exits")
        with pytest.raises(JobFailed, match="died 3 times while it ran alone; the last time: exit code 3"):
            poison.result(timeout=40)
        assert [job.result(timeout=20) for job in jobs] == [f"n{i}" for i in range(5)]
        assert len(crew.lines("begin", "exits")) == 4
        assert len(crew.lines("begin", "n0")) == 2


def test_sigterm_flushes_what_gathers_in_a_real_process(
    valkey: Server, tmp_path: Path, packing: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        jobs = packing.app.enqueue_many([packing.gathers.call(i) for i in range(3)])
        wait_until(lambda: packing.app.run(packing.app.queue().stats())["active"] == "3")
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
        assert [job.result(timeout=5) for job in jobs] == [3, 3, 3]
