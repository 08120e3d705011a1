"""Schedules end to end: what is declared in code or put in by a program is run by workers, and can be steered."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from servers import Server
from streamq.app import App
from streamq.context import Context
from streamq.errors import ConfigError, LimitExceeded, ScheduleNotFound, WrongCall, WrongState
from streamq.events import Event
from streamq.worker import Limits, Worker

KEYS = "k1:" + base64.b64encode(b"1" * 32).decode()


@pytest.fixture
def app(valkey: Server) -> Iterator[App]:
    with App(valkey.url, name="shop") as made:
        yield made


@contextlib.asynccontextmanager
async def working(app: App, **options: Any) -> AsyncIterator[Worker]:
    """A worker on the running loop, stopped at the end."""
    async with app:
        worker = Worker(app, limits=Limits(timeout=0), **options)
        running = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await asyncio.wait_for(running, 30)


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 15) -> Any:
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.01)
        return found


async def make_due(app: App, name: str, moment: datetime) -> None:
    """Let a schedule stand at a time of the past, as if nobody had ticked it since."""
    ms = round(moment.timestamp() * 1000)
    key = f"{app.queue().anchor}:schedule:{name}"
    engine = app._client.async_engine
    await engine.command("HSET", key, "next_run_at", ms, "due_at", ms)
    await engine.command("ZADD", f"{app.queue().anchor}:schedules", ms, name)
    wake = await app.arun(app.queue().register())  # a call after which somebody watches for the new time
    await app.arun(app.queue().renew([wake.consumer]))
    await app.arun(app.queue().retire(wake.consumer))


def whole_minute(minutes_ago: int) -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)


@pytest.mark.parametrize("keys", [None, KEYS])
def test_a_declared_schedule_runs_at_each_of_its_times_and_the_job_knows_them(
    valkey: Server, keys: str | None
) -> None:
    app, seen = App(valkey.url, keys=keys), list[tuple[str | None, datetime | None, int]]()

    @app.task
    async def count(ctx: Context, by: int) -> None:
        seen.append((ctx.schedule, ctx.scheduled_at, by))

    app.schedule("every 1 second", count.call(2), name="counting")

    async def scene() -> None:
        async with working(app):

            async def enough() -> bool:
                return len(seen) >= 3

            await until(enough)
            assert (await app.arun(app.queue().conservation())).difference == 0

    asyncio.run(scene())
    times = [moment for _, moment, _ in seen if moment is not None]
    assert {(name, by) for name, _, by in seen} == {("counting", 2)}
    assert [late - early for early, late in pairwise(times)] == [timedelta(seconds=1)] * (len(seen) - 1)


def test_handlers_in_threads_and_in_processes_of_their_own_know_their_time_too(app: App) -> None:
    @app.task
    def in_thread(ctx: Context) -> list[Any]:
        return [ctx.schedule, ctx.scheduled_ms]

    @app.task(isolate=True)
    def in_process(ctx: Context) -> list[Any]:
        return [ctx.schedule, ctx.scheduled_ms]

    async def scene() -> None:
        async with working(app, concurrency=2):
            for task in (in_thread, in_process):
                schedule = await app.schedules.aput("every 1 hour", task.call())
                job = await schedule.arun()
                name, moment = await job.aresult(timeout=10)
                info = await schedule.ainfo()
                assert (name, moment, info.last_job) == (task.name, info.last_run_ms, job.id)

    asyncio.run(scene())


def test_what_is_no_more_declared_is_removed_and_what_others_put_in_stays(valkey: Server) -> None:
    def version(*names: str) -> App:
        app = App(valkey.url, name="shop")

        @app.task
        async def nothing() -> None: ...

        for name in names:
            app.schedule("every 1 hour", nothing.call(), name=name)
        return app

    async def deployed(app: App, *expected: str) -> None:
        async def agrees() -> bool:
            return sorted(info.name for info in await app.schedules.alist()) == sorted(expected)

        async with working(app):
            await until(agrees)

    async def scene() -> None:
        first = version("hourly", "audit")
        async with first:
            await first.schedules.aput("every 1 hour", first.tasks["nothing"].call(), name="by_hand")
        await deployed(version("hourly", "audit"), "hourly", "audit", "by_hand")
        await deployed(version("hourly"), "hourly", "by_hand")
        await deployed(version(), "by_hand")

    asyncio.run(scene())


def test_of_an_outage_the_latest_time_is_made_up_for_and_the_others_are_not(app: App) -> None:
    seen: list[datetime | None] = []

    @app.task
    async def note(ctx: Context) -> None:
        seen.append(ctx.scheduled_at)

    async def scene() -> None:
        async with app:
            schedule = await app.schedules.aput("every 60 seconds", note.call())
            await make_due(app, "note", whole_minute(500))
            async with working(app):

                async def has_run() -> bool:
                    return len(seen) > 0

                await until(has_run)
                info = await schedule.ainfo()
                assert info.runs == len(seen) == 1
                assert info.next_run_ms is not None
                assert seen[0] is not None
                assert info.next_run_ms - seen[0].timestamp() * 1000 == 60_000

    asyncio.run(scene())


def test_with_missed_all_every_time_of_an_outage_gets_its_job_up_to_the_most(app: App) -> None:
    @app.task
    async def note() -> None: ...

    async def scene() -> None:
        async with app:
            schedule = await app.schedules.aput(
                "every 60 seconds", note.call(), missed="all", most=40, overlap="allow"
            )
            await make_due(app, "note", whole_minute(90))
            async with working(app):

                async def moved_on() -> bool:
                    found = (await schedule.ainfo()).next_run_ms
                    return found is not None and found > datetime.now(UTC).timestamp() * 1000

                await until(moved_on)
                assert (await schedule.ainfo()).runs in (40, 41)  # a minute may have begun meanwhile

    asyncio.run(scene())


def test_a_run_that_goes_on_is_cancelled_for_the_next_one_where_that_is_the_policy(app: App) -> None:
    told: list[str] = []

    @app.task
    async def watch(ctx: Context) -> None:
        told.append(f"begin {ctx.scheduled_ms}")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.append(f"cancelled {ctx.scheduled_ms}")
            raise

    async def scene() -> None:
        async with working(app):
            await app.schedules.aput("every 1 second", watch.call(), overlap="cancel")

            async def twice() -> bool:
                return len(told) >= 5

            await until(twice)

    asyncio.run(scene())
    words = [line.split()[0] for line in told[:5]]
    assert words == ["begin", "cancelled", "begin", "cancelled", "begin"]
    assert told[1].split()[1] == told[0].split()[1]


def test_a_worker_whose_slots_are_all_in_use_ticks_in_time(app: App) -> None:
    @app.task
    async def hold() -> None:
        await asyncio.sleep(60)

    @app.task
    async def note() -> None: ...

    async def scene() -> None:
        async with working(app, concurrency=1):
            await hold.aenqueue()
            schedule = await app.schedules.aput("every 1 second", note.call(), overlap="allow")

            async def thrice() -> bool:
                return (await schedule.ainfo()).runs >= 3

            await until(thrice, seconds=8)  # it would take by itself every ten seconds

    asyncio.run(scene())


def test_a_run_that_is_not_complete_by_its_grace_is_told_once(app: App) -> None:
    told: list[Event] = []
    app.on("schedule.missed")(told.append)

    @app.task
    async def hang() -> None:
        await asyncio.sleep(60)

    async def scene() -> None:
        async with working(app):
            schedule = await app.schedules.aput("every 1 hour", hang.call(), grace=1.5, note="the books")
            await make_due(app, "hang", datetime.now(UTC).replace(microsecond=0))

            async def was_told() -> bool:
                return len(told) > 0

            await until(was_told)
            info = await schedule.ainfo()
            again = await schedule.arun()  # a take after it
            await until(lambda: _begun(app, again.id))
            assert len(told) == 1
            assert told[0].fields["schedule"] == "hang"
            assert (told[0].task, told[0].job) == ("hang", info.last_job)
            assert told[0].fields["why"] == "its job is active"

    async def _begun(app: App, job: str) -> bool:
        return (await app.job(job).astatus()).value == "active"

    asyncio.run(scene())


def test_a_time_that_was_ticked_after_its_grace_is_told_however_fast_its_job_is(app: App) -> None:
    told: list[Event] = []
    app.on("schedule.missed")(told.append)

    @app.task
    async def quick() -> None: ...

    async def scene() -> None:
        async with app:
            await app.schedules.aput("every 1 hour", quick.call(), grace="10m")
            await make_due(app, "quick", whole_minute(30))
            async with working(app):

                async def was_told() -> bool:
                    return len(told) > 0

                await until(was_told)

    asyncio.run(scene())
    assert [event.fields["why"] for event in told] == ["nobody ticked it in time"]


def test_a_schedule_is_paused_resumed_explained_and_removed(app: App) -> None:
    @app.task(queue="mail")
    async def digest(size: int) -> None: ...

    schedule = app.schedules.put("every 1 hour", digest.call(3), name="daily", note="for the boss")
    assert app.schedules.named("daily", "mail") == schedule
    schedule.pause("summer")
    assert "paused since" in schedule.explain()
    assert "summer" in schedule.explain()
    schedule.resume()
    info = schedule.info()
    assert (info.paused, info.source, info.task, info.note) == (False, "api", "digest", "for the boss")
    assert "next at " in schedule.explain()
    assert "it has made no job yet" in schedule.explain()
    job = schedule.run()
    assert f"job {job.id}, pending" in schedule.explain()
    assert app.schedules.list("mail")[0].last_job == job.id
    schedule.remove()
    with pytest.raises(ScheduleNotFound, match="no schedule daily in queue mail"):
        schedule.info()


def test_it_is_explained_what_a_blackout_leaves_out(app: App) -> None:
    @app.task
    async def report() -> None: ...

    dark = f"{datetime.now(UTC):%Y-%m-%d} to {datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    schedule = app.schedules.put("every 1 hour", report.call(), blackouts=[dark])
    assert f"is left out: in blackout '{dark}'" in schedule.explain()


def test_a_backfill_adds_each_time_once_and_says_what_it_added(app: App) -> None:
    @app.task
    async def report() -> None: ...

    schedule = app.schedules.put("every 60 seconds", report.call())
    first = datetime(2026, 1, 1, tzinfo=UTC)
    assert len(schedule.backfill(first, first + timedelta(minutes=9))) == 10
    assert len(schedule.backfill(first, first + timedelta(minutes=12))) == 3
    assert int(app.run(app.queue().stats())["pending"]) == 13
    with pytest.raises(LimitExceeded, match="more than 1,000 times"):
        schedule.backfill(first, first + timedelta(minutes=1000))
    with pytest.raises(ConfigError, match="first=.* has no time zone"):
        schedule.backfill(datetime(2026, 1, 1), first)


def test_a_name_of_code_is_not_taken_by_a_program_and_stays_when_it_is_removed_by_hand(app: App) -> None:
    @app.schedule("every 1 hour")
    @app.task
    async def tidy() -> None: ...

    async def scene() -> None:
        async with working(app):

            async def is_there() -> bool:
                return [info.source for info in await app.schedules.alist()] == ["code"]

            await until(is_there)

    asyncio.run(scene())
    with pytest.raises(WrongState, match="tidy is declared in the code of app shop"):
        app.schedules.put("every 1 hour", tidy.call())
    with pytest.raises(WrongState, match="declared in code: take it out there, or pause it"):
        app.schedules.named("tidy").remove()


def test_what_cannot_be_a_schedule_is_refused_where_it_is_written(app: App) -> None:
    @app.task
    async def greet(name: str) -> None: ...

    @app.schedule("every 1 hour")
    @app.task
    async def tidy() -> None: ...

    with pytest.raises(WrongCall):
        app.schedule("every 1 hour")(greet)
    with pytest.raises(ConfigError, match="write @app.schedule"):
        app.schedule("every 1 hour")(lambda: None)  # type: ignore[type-var]  # what the error is about
    with pytest.raises(ConfigError, match="two schedules are named 'tidy'"):
        app.schedule("every 2 hours", tidy.call())
    with pytest.raises(ConfigError, match="'overlapping' is no option of a schedule; did you mean overlap"):
        app.schedule("every 1 hour", greet.call("x"), overlapping="skip")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="overlap='never' is not known: use 'allow', 'skip'"):
        app.schedule("every 1 hour", greet.call("x"), overlap="never")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="means another time at every start of the program"):
        app.schedule("in 10 seconds", greet.call("x"))
    with pytest.raises(ConfigError, match="'every now and then'"):
        app.schedule("every now and then", greet.call("x"))
    with pytest.raises(ConfigError, match="its call has a time of its own"):
        app.schedule("every 1 hour", greet.using(at=datetime.now(UTC)).call("x"))
    with pytest.raises(ConfigError, match="cannot name a schedule"):
        app.schedule("every 1 hour", greet.call("x"), name="every hour")
