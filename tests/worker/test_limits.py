"""Limits and workers: what the jobs of a lane see and say, what holds between them, and that nothing is lost with a process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from crew import Crew, until
from servers import Server
from streamq import (
    App,
    Breaker,
    Context,
    Limit,
    QueueFull,
    RateExceeded,
    RateLimited,
    Retry,
    State,
)
from streamq.protocol.limits import LimitInfo
from streamq.worker import Worker


@pytest.fixture
def app(server: Server) -> Iterator[App]:
    with App(server.url) as made:
        yield made
        assert made.run(made.queue().conservation()).difference == 0


@asynccontextmanager
async def working(app: App) -> AsyncIterator[None]:
    """A worker on the running loop, stopped at the end."""
    async with app:
        worker = Worker(app)
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await asyncio.wait_for(running, 30)


def limit_of(app: App, name: str) -> LimitInfo:
    (found,) = [info for info in app.limits().all() if info.name == name]
    return found


async def seen(app: App, name: str, **expected: object) -> None:
    """Wait until a limit looks like that."""
    async with asyncio.timeout(10):
        while True:
            found = [info._asdict() for info in await app.limits().aall() if info.name == name]
            if found and expected.items() <= found[0].items():
                return
            await asyncio.sleep(0.01)


def test_a_job_knows_its_lane_and_cost_in_a_loop_in_a_thread_and_in_a_process(app: App) -> None:
    limits = [Limit("openai", "1_000/s", cost=lambda n: n)]

    @app.task(lane="tenant", limits=limits)
    async def on_loop(ctx: Context, tenant: str, n: int) -> list[object]:
        return [ctx.id, ctx.lane, ctx.cost]

    @app.task(lane="tenant", limits=limits, tags=["kept"])
    def in_thread(ctx: Context, tenant: str, n: int) -> list[object]:
        return [ctx.id, ctx.lane, ctx.cost]

    async def scene() -> None:
        async with working(app):
            for task in (on_loop, in_thread, on_loop.using(tags=["kept"])):
                job = await task.aenqueue("a b", 7)
                assert await job.aresult(10) == [job.id, "tenant:a%20b|openai*", 7.0]
                assert await job.astatus() is State.COMPLETED

    asyncio.run(scene())


def test_a_job_that_is_told_to_come_later_shuts_its_limit_and_spends_no_attempt(app: App) -> None:
    said: list[str] = []

    @app.task(limits=[Limit("openai", "1_000/s", slots=1), Limit("user", "1_000/s", by="user")])
    async def complete(ctx: Context, user: int, limit: str | None) -> tuple[int, float]:
        said.append(ctx.id)
        if len(said) == 1:
            raise RateLimited(0.4, limit=limit)
        return ctx.attempt, time.monotonic()

    async def scene(limit: str | None, name: str) -> None:
        said.clear()
        async with working(app):
            began = time.monotonic()
            jobs = [await complete.aenqueue(7, limit) for _ in range(3)]
            await seen(app, name, lanes=1)
            assert f"limit {name}: closed for 0." in await jobs[0].aexplain()
            ended = [await job.aresult(10) for job in jobs]
        assert all(attempt == 1 and at - began > 0.4 for attempt, at in ended)
        assert said[0] == said[1], "it has kept its place"

    asyncio.run(scene(None, "openai"))
    asyncio.run(scene("user", "user:7"))


def test_a_limit_that_is_none_of_the_jobs_own_is_said_in_its_error(app: App) -> None:
    @app.task(limits=Limit("openai", "1_000/s"), attempts=1)
    async def complete() -> None:
        raise RateLimited(60, limit="opnai")

    async def scene() -> None:
        async with working(app):
            job = await complete.aenqueue()
            async with asyncio.timeout(10):
                while await job.astatus() is not State.DEAD:
                    await asyncio.sleep(0.01)
            assert "names no limit of this job: it has openai" in (await job.ainfo()).error

    asyncio.run(scene())


def test_what_a_job_has_spent_replaces_its_estimate(app: App) -> None:
    @app.task(limits=Limit("openai", "0.001/s burst 1_000", cost=100))
    async def complete(ctx: Context, *totals: float) -> None:
        for total in totals:
            ctx.spent(total)

    async def scene(*totals: float) -> None:
        async with working(app):
            await (await complete.aenqueue(*totals)).aresult(10)

    for totals, left in (((), 900), ((300, 250), 650), ((0,), 650)):
        asyncio.run(scene(*totals))
        assert round(float(limit_of(app, "openai").tokens)) == left


def test_failures_that_a_breaker_is_for_open_it_and_others_do_not(app: App) -> None:
    @app.task(
        breaker=Breaker("stripe", failures=2, open="0.3s", on=[ConnectionError]), attempts=20, backoff=0.01
    )
    async def charge(order: int, kind: str) -> None:
        errors.append(kind)
        if kind == "down" and len(errors) <= 2:
            raise Retry(0.01) from ConnectionError("down")
        if kind == "order" and len(errors) <= 5:
            raise ValueError("no such order")

    errors: list[str] = []

    async def scene() -> None:
        async with working(app):
            await (await charge.aenqueue(1, "order")).aresult(10)
            assert limit_of(app, "stripe").phase == "closed"
            errors.clear()
            job = await charge.aenqueue(2, "down")
            await seen(app, "stripe", phase="open")
            others = [await charge.aenqueue(n, "fine") for n in range(40)]
            assert "stripe: breaker open" in await others[0].aexplain()
            await asyncio.gather(*(one.aresult(10) for one in (job, *others)))
            await seen(app, "stripe", phase="closed")
            assert len(errors) == 43

    asyncio.run(scene())


def test_an_account_is_served_strictly_in_order_also_when_a_job_fails(app: App) -> None:
    app.lane("account", slots=1, ordered=True)
    ran: dict[str, list[int]] = {"a": [], "b": []}

    @app.task(lane="account", attempts=5, backoff=0.02)
    async def post(ctx: Context, account: str, n: int) -> None:
        if n % 5 == 0 and ctx.attempt < 3:
            raise ValueError("not yet")
        await asyncio.sleep(0)
        ran[account].append(n)

    async def scene() -> None:
        jobs = await app.aenqueue_many([post.call(account, n) for n in range(20) for account in ran])
        async with working(app):
            await asyncio.gather(*(job.aresult(20) for job in jobs))
        assert ran == {"a": list(range(20)), "b": list(range(20))}

    asyncio.run(scene())


def test_a_small_tenant_does_not_wait_behind_a_big_one(app: App) -> None:
    order: list[str] = []
    app.limit(queue="default", slots=1)

    @app.task(lane="tenant")
    async def ingest(tenant: str) -> None:
        order.append(tenant)

    async def scene() -> None:
        jobs = await app.aenqueue_many([ingest.call("big")] * 500)
        jobs.append(await ingest.aenqueue("small"))
        async with working(app):
            await asyncio.gather(*(job.aresult(20) for job in jobs))
        assert order.index("small") < 5
        assert len(order) == 501

    asyncio.run(scene())


def test_a_full_queue_refuses_and_a_producer_may_wait_for_room(app: App) -> None:
    app.lane("tenant", most=2)

    @app.task(lane="tenant")
    async def ingest(tenant: str) -> None: ...

    async def scene() -> None:
        await ingest.aenqueue("acme")
        await ingest.aenqueue("acme")
        await ingest.aenqueue("other")
        with pytest.raises(QueueFull, match="tenant:acme is full") as full:
            await ingest.aenqueue("acme")
        assert (full.value.limit, full.value.retry_after) == ("tenant:acme", 1.0)
        with pytest.raises(QueueFull):
            await ingest.using(wait_for_room="50ms").aenqueue("acme")
        with pytest.raises(QueueFull):
            await app.aenqueue_many([ingest.call("acme"), ingest.call("new")])
        patient = ingest.using(wait_for_room="10s")
        waiting = asyncio.create_task(patient.aenqueue("acme"))
        blocking = asyncio.create_task(asyncio.to_thread(patient.enqueue, "acme"))
        many = asyncio.create_task(app.aenqueue_many([patient.call("acme"), patient.call("acme")]))
        async with working(app):
            await waiting
            await blocking
            assert len(await many) == 2
        assert (await app.arun(app.queue().stats()))["enqueued"] == "7"

    asyncio.run(scene())


def test_the_oldest_of_a_lane_goes_where_the_quota_says_so(app: App) -> None:
    @app.task(limits=Limit("feed", by="source", most=2, over="drop"))
    async def refresh(source: str) -> None: ...

    jobs = [refresh.enqueue("news") for _ in range(4)]
    assert [job.status() for job in jobs] == [State.CANCELLED, State.CANCELLED, State.WAITING, State.WAITING]


def test_a_limit_gives_its_tokens_to_others_than_jobs_too(app: App) -> None:
    @app.task(limits=Limit("openai", "20/s burst 2"))
    async def complete() -> None: ...

    limiter = app.limiter("openai")
    limiter.acquire(2, timeout=0)
    with pytest.raises(RateExceeded, match="limit openai is closed"):
        limiter.acquire(2, timeout=0.01)
    began = time.monotonic()
    limiter.acquire()
    asyncio.run(limiter.aacquire())
    assert time.monotonic() - began > 0.08


def test_what_an_operator_sets_holds_at_once_and_the_code_says_nothing_against_it(app: App) -> None:
    @app.task(limits=Limit("openai", slots=1))
    async def complete() -> None: ...

    limits, job = app.limits(), complete.enqueue()
    limits.set("openai", "5/s burst 50, slots off", by="anna")
    limits.stop("openai", "1h", by="anna")

    async def scene() -> None:
        async with working(app):
            await seen(app, "openai", lanes=1)
            assert limit_of(app, "openai").rule == "slots=1 rate=5 burst=50 slots=off"
            await limits.areset("openai", by="anna")
            await job.aresult(10)
            await limits.aunset("openai", by="anna")

    asyncio.run(scene())
    assert limit_of(app, "openai").rule == "slots=1"
    assert [change.what for change in app.run(app.queue().audit()) if change.by == "anna"] == [
        "limit openai unset",
        "limit openai reset",
        "limit openai stopped for 3600000 ms",
        "limit openai set: rate=5 burst=50 slots=off",
    ]


def test_an_isolated_job_knows_and_spends_like_others(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        assert yard.isolated_spends.enqueue(20, 50).result(timeout=10) == "openai* 20 1"
        until(lambda: round(float(yard.app.limits().show("openai")["tokens"])) == 50, what="its spending")
        assert yard.isolated_spends.enqueue(20, 0).result(timeout=10) == "openai* 20 1"
        assert crew.lines("limited") == ["limited"]


def test_the_slots_of_a_process_that_is_killed_come_back(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, workers=2) as crew:
        first = yard.sits_in_a_lane.enqueue("first", 60)
        until(crew.begun("first"))
        (pid,) = {int(line.split()[-1]) for line in crew.lines("begin", "first")}
        others = [yard.sits_in_a_lane.enqueue(f"other{n}", 0) for n in range(5)]
        assert "1 of 1 slots are taken" in others[0].explain()
        psutil.Process(pid).kill()
        until(lambda: len(crew.lines("begin", "first")) == 2, what="its second run")
        assert first.cancel()
        for other in others:
            other.result(timeout=20)
        assert yard.app.limits().show("account:x")["used"] == "0"
        lost = until(lambda: crew.logged("worker.lost"))
        assert list(lost[0]["suspects"]) == [first.id]
        assert yard.app.run(yard.app.queue().conservation()).difference == 0


def test_the_earliest_deadline_of_a_task_goes_first(app: App) -> None:
    order = list[str]()

    @app.task(by_deadline=True)
    async def deliver(name: str) -> None:
        order.append(name)

    async def deliver_all() -> None:
        async with working(app):
            while len(order) < 4:
                await asyncio.sleep(0.005)

    for name, deadline in (("late", "9m"), ("early", "1m"), ("middle", "5m")):
        deliver.using(deadline=deadline).enqueue(name)
    deliver.enqueue("whenever")
    asyncio.run(asyncio.wait_for(deliver_all(), 10))
    assert order == ["early", "middle", "late", "whenever"]
