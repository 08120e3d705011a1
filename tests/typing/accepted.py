"""Right uses of the typed surface: mypy --strict and pyright accept every line. Never run; see test_typing.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from streamq import (
    App,
    BatchContext,
    Breaker,
    CallNext,
    Cancelled,
    Context,
    Dead,
    Debounce,
    Event,
    Flow,
    FlowState,
    Job,
    JobFailed,
    Limit,
    Outcome,
    Outgoing,
    QueueFull,
    RateLimited,
    Retry,
    Run,
    Schedule,
    ScheduleInfo,
    Snooze,
    State,
    Step,
    Throttle,
    Unique,
    group,
    resource,
)

app = App()
tomorrow = datetime(2026, 11, 25, tzinfo=UTC)


class Pool:
    async def save(self, number: int) -> None: ...


# Tasks


@app.task
def checksum(path: str) -> str:
    return path


@app.task(queue="mail", attempts=5, timeout=30)
async def send_email(to: str, *, template: str = "welcome") -> bool:
    """Sends one."""
    return True


@app.task
async def joined(parts: list[str], *, name: str) -> str:
    return name


@app.task
async def report(ctx: Context, user: int) -> None:
    ctx.progress(0.4, "half way")
    ctx.partial([user])
    print(user, ctx.fence, ctx.cancelled)
    assert_type(ctx.attempt, int)
    assert_type(ctx.deadline, datetime | None)


async def charge(order: int, *, card: str = "") -> bytes:
    return b""


def rows_after(last: int | None) -> Iterator[tuple[int, str]]:
    yield 1, "a"


async def lines() -> AsyncIterator[str]:
    yield "a"


@app.task
async def steps(ctx: Context, order: int) -> None:
    assert_type(await ctx.step("charge", charge, order, card="x"), bytes)
    assert_type(await ctx.step("double", lambda: 2 * order), int)
    assert_type(await ctx.step("check", checksum, "a"), str)
    assert_type(await ctx.signal("approved", bool), bool)
    assert_type(await ctx.signal("approved", bool, timeout="2d", default=None), bool | None)
    assert_type(await ctx.signal("approved", bool, timeout=timedelta(days=2), default=False), bool)
    await ctx.sleep("2d")
    async for row in ctx.cursor("rows", rows_after, key=lambda row: row[0]):
        assert_type(row, tuple[int, str])
    async for line in ctx.cursor("lines", lines(), every=10):
        assert_type(line, str)
    async for number in ctx.cursor("numbers", [1, 2]):
        assert_type(number, int)


@app.task
def steps_in_a_thread(ctx: Context, order: int) -> None:
    assert_type(ctx.sync.step("check", checksum, path="a"), str)
    assert_type(ctx.sync.signal("approved", bool, timeout=5, default="no"), bool | str)
    ctx.sync.sleep(5)
    for row in ctx.sync.cursor("rows", rows_after, key=lambda row: row[0]):
        assert_type(row, tuple[int, str])
    for number in ctx.sync.cursor("numbers", [1, 2]):
        assert_type(number, int)


@app.task(result_ttl="10m", priority="high", tags=["a"], expires=timedelta(hours=1), isolate=True)
def resize(ctx: Context, path: str, width: int = 100) -> int:
    return width


@app.task
def says(kind: str) -> None:
    if kind == "retry":
        raise Retry("30s")
    if kind == "snooze":
        raise Snooze("5m")
    if kind == "dead":
        raise Dead("card is stolen")
    raise Cancelled


@app.task
def anything(value: Any) -> int:
    return 1


@app.task
async def some_object(value: object, n: int = 0) -> int:
    return 1


@app.task
async def payload(data: dict[str, Any], n: int = 0) -> str:
    return ""


@app.task
async def payload_with_context(ctx: Context, data: dict[str, Any]) -> str:
    return ""


@app.task
def star(*args: Any, **more: Any) -> int:
    return 1


class Thumbnail:
    async def handle(self, ctx: Context, path: str, width: int = 100) -> str:
        return path

    async def completed(self, ctx: Context, result: str) -> None: ...


class Plain:
    def handle(self, path: str, *, width: int = 100) -> int:
        return 1


thumbnail = app.add(Thumbnail, queue="images")
plain = app.add(Plain)

# Batches


@app.batch(size=100, wait=0.2, by="tenant")
async def index(items: list[dict[str, int]]) -> list[str | Outcome]:
    return [Retry("30s") if item else "done" for item in items]


@app.batch(wait="1s", by=len, queue="bulk", result_ttl="10m")
def measure(ctx: BatchContext, items: list[str]) -> list[int | Exception]:
    ctx.progress(0.5)
    assert_type([job.attempt for job in ctx.jobs], list[int])
    return [len(item) for item in items]


@app.batch()
async def forget(items: Sequence[int]) -> None: ...


@app.batch()
async def with_context(ctx: BatchContext, items: list[int]) -> list[int | None]:
    return [None for _ in items]


assert_type(index.enqueue({"a": 1}), Job[str])
assert_type(index.using(delay="5m").enqueue({"a": 1}), Job[str])
assert_type(measure.enqueue("a"), Job[int])
assert_type(forget.enqueue(1), Job[None])
assert_type(with_context.enqueue(1), Job[int | None])
assert_type(app.enqueue_many([measure.call("a")]), list[Job[int]])


# Putting jobs in

job = send_email.enqueue("a@b.c")
assert_type(job, Job[bool])
assert_type(app.enqueue_many([send_email.call("a"), send_email.call("b", template="bye")]), list[Job[bool]])
mixed = app.enqueue_many([send_email.call("a"), report.call(7)])
assert_type(send_email.using(delay="5m", priority=8).enqueue("a@b.c"), Job[bool])
assert_type(send_email.using(deadline=tomorrow).using(deadline="2h").enqueue("a@b.c"), Job[bool])
send_email.using(
    at=tomorrow, expires="1h", unique=Unique(by="to", until="done", on_conflict="existing")
).enqueue("a@b.c")
send_email.using(unique=Unique(by="to", on_conflict="latest")).enqueue("a")
send_email.using(unique=Unique(on_conflict="replace", replace=["arguments", "time"])).enqueue("a")
send_email.using(debounce=Debounce("2s", by="to", longest=timedelta(minutes=1))).enqueue("a")
send_email.using(throttle=Throttle("10s", by=["to"])).using(throttle=None).enqueue("a")
send_email.using(priority="high", attempts=3, tags=("x",)).enqueue("a")
assert_type(send_email.call("a").enqueue(), Job[bool])
assert_type(report.enqueue(7), Job[None])
assert_type(resize.enqueue("x", width=3), Job[int])
assert_type(thumbnail.enqueue("x", width=3), Job[str])
assert_type(plain.enqueue("x"), Job[int])
assert_type(anything.enqueue("x"), Job[int])
assert_type(some_object.enqueue("x", n=2), Job[int])
assert_type(payload.enqueue({}), Job[str])
assert_type(payload_with_context.enqueue({}), Job[str])
star.enqueue(1, z=2)

# Looking and steering

assert_type(job.result(timeout=5), bool)
assert_type(send_email.job("mail-5-1-0").result("5s"), bool)
assert_type(job.retry(), Job[bool])
job.retry(send_email.call("right@b.c"))
assert_type(job.cancel(), bool)
assert_type(job.explain(), str)
assert_type(job.progress().fraction, float)
app.job("mail-5-1-0").cancel()


def look(error: JobFailed) -> tuple[str, str, str]:
    return error.type_name, error.text, error.traceback


# Around handlers


@app.resource
async def pool() -> AsyncIterator[Pool]:
    yield Pool()


@app.resource
def number(db: Pool = resource(pool)) -> Iterator[int]:  # noqa: B008
    yield 1


@app.task
async def sync_user(id: int, db: Pool = resource(pool), *, n: int = resource(number)) -> None:  # noqa: B008
    await db.save(id)


assert_type(sync_user.enqueue(7), Job[None])


@app.lifespan
async def life() -> AsyncIterator[None]:
    yield


@app.middleware
async def timing(ctx: Context, call_next: CallNext) -> object:
    return await call_next()


@app.before_enqueue
def stamp(outgoing: Outgoing) -> None:
    outgoing.headers["trace"] = str(outgoing.arguments.get("to"))


@app.on("job.dead", "worker.lost")
def page(event: Event) -> None:
    print(event.name, event.job)


# Limits


def tokens(prompt: str) -> float:
    return len(prompt) / 4


@app.task(
    lane="tenant",
    limits=[
        Limit("openai", "60_000/min", cost=tokens, slots=3),
        Limit("user", "5/s", by="user", over="drop", most=9),
    ],
    breaker=Breaker("stripe", errors="50%", window="1m", on=[ConnectionError]),
    wait_for_room="5s",
)
async def complete(ctx: Context, tenant: str, user: int, prompt: str) -> float:
    ctx.spent(900)
    ctx.spent("openai", 900.5)
    assert_type(ctx.lane, str | None)
    if user < 0:
        raise RateLimited("20s", limit="openai")
    return ctx.cost


@app.task(lane=lambda tenant: tenant.lower(), limits=Limit("mail", slots=2, by=lambda to: to), breaker="mail")
def deliver(tenant: str, to: str) -> None: ...


app.lane("tenant", weight={"acme": 3}, slots=2, rate="100/min burst 20", ordered=True)
app.lane("account", weight=2)
app.limit(queue="mail", most=1000, memory="4GB")
app.limiter("user", key=7).acquire(2.5, timeout="1s")
app.limits("mail").set("openai", "5/s", by="anna")
assert_type(app.limits().show("openai"), dict[str, str])


def gives_way(full: QueueFull) -> float:
    return full.retry_after if full.limit == "queue" else 0.0


# Strikes

assert_type(app.strikes.add(send_email, where={"to": "a@b.c"}, for_="1h", note="bounces"), str)
assert_type([strike.until for strike in app.strikes.list()], list[datetime | None])


# Schedules


@app.schedule("every weekday at 9am Europe/Rome", missed="latest", overlap="skip", gap="shift", fold="first")
@app.task
async def digest() -> int:
    return 1


monthly = app.schedule(
    "first monday of the month at noon", report.call(7), name="monthly", grace="1h", most=None
)
assert_type(monthly, Schedule)
assert_type(digest.enqueue(), Job[int])
assert_type(app.schedules.put("tomorrow at 5pm", report.call(7), blackouts=["weekends"], jitter=5), Schedule)
assert_type(app.schedules.named("monthly").info(), ScheduleInfo)
assert_type(list(app.schedules.list("mail")), list[ScheduleInfo])
assert_type(monthly.info().next_run_ms, int | None)


# Workflows

flow = Flow("order", keep="2d")
run_of_old = app.flow("mail-0-1-1")
hashed = flow.add(
    checksum.call("x"), name="hashed", after=[send_email.enqueue("a")], undo=send_email.call("a")
)
assert_type(hashed, Step[str])
assert_type(checksum.using(after=[job, run_of_old]).enqueue("x"), Job[str])
checksum.using(after={job: "any", "mail-5-1-1": "failure"})
assert_type(hashed.output, str)
mailed = flow.add(send_email.call(hashed.output), after={hashed: "any"}, when="hashed != ''", env=["REGION"])
hashed.undone_by(send_email.call(hashed.output))
run = flow.enqueue()
assert_type(run, Run[None])
assert_type(run.result(mailed, timeout=5), bool)
assert_type(run.job(hashed), Job[str])
assert_type(run.wait("5s"), FlowState)
assert_type(run.progress().fraction, float)
assert_type([step.status for step in run.steps()], list[State | None])
assert_type(checksum.call("x").then(checksum).then(send_email, template="b").enqueue(), Run[bool])
assert_type(checksum.call("x").followed_by(report.call(7)).enqueue().result(), None)
assert_type(group(checksum.call("x"), checksum.call("y")).enqueue().result(timeout=5), list[str])
assert_type(group(checksum.call("x")).then(joined, name="z").enqueue().result(), str)


# Calling and awaiting


async def main(ctx: Context) -> None:
    await app.limiter("openai").aacquire()
    assert_type(ctx.scheduled_at, datetime | None)
    await (await app.schedules.aput("every hour", report.call(7))).apause("why")
    await app.limits().aset("openai", "slots off")
    assert_type(await send_email("a"), bool)
    await index([{"a": 1}])
    assert_type(checksum("x"), str)
    assert_type(await (await send_email.aenqueue("a", template="bye")).aresult(), bool)
    await report(ctx, 7)
    assert_type(resize(ctx, "x"), int)
    assert_type(await app.aenqueue_many([send_email.call("a")]), list[Job[bool]])
    assert_type(await job.acancel(), bool)
    assert_type(await (await flow.aenqueue()).aresult(hashed), str)
    assert_type(await (await checksum.call("x").then(checksum).aenqueue()).aresult(), str)
    await app.flow(run.id).acancel()
    async with app:
        pass


def uses(paths: Sequence[str]) -> list[Job[str]]:
    with app:
        return app.enqueue_many(checksum.call(path) for path in paths)
