"""Wrong uses of the typed surface: every line that ends in ``# refused: …`` is an error in mypy --strict and pyright.

Never run; test_typing.py compares the lines of the errors with the marked ones.
"""

from __future__ import annotations

from accepted import (
    Pool,
    app,
    charge,
    checksum,
    index,
    job,
    measure,
    payload,
    plain,
    pool,
    report,
    rows_after,
    send_email,
    sync_user,
    thumbnail,
)

from streamq import Breaker, CallNext, Context, Flow, Limit, RateLimited, Throttle, Unique, group, resource


async def awaits(ctx: Context) -> None:
    await send_email.enqueue("a")  # refused: awaiting the sync form
    flag: bool = send_email("a")  # refused: a forgotten await
    print(flag)
    await report(7)  # refused: a plain call without its context
    await ctx.progress(0.5)  # refused: awaiting what only tells
    await job.result()  # refused: awaiting the sync form
    text: str = job.aresult()  # refused: a forgotten await of a result
    print(text)


async def steps(ctx: Context) -> None:
    await ctx.step("charge", charge)  # refused: a step without its argument
    await ctx.step("charge", charge, "7")  # refused: a step with another type
    await ctx.signal("approved", bool, default=False)  # refused: a default that nothing leads to
    paid: str = await ctx.step("charge", charge, 7)  # refused: a step of another type
    flag: bool = ctx.signal("approved", bool)  # refused: a forgotten await of a signal
    for row in ctx.cursor("rows", [1]):  # refused: the async form in a plain loop
        print(row, paid, flag)
    async for row in ctx.cursor("rows", rows_after):  # refused: a source without its key
        print(row)


send_email.enqueue(3)  # refused: wrong type
send_email.enqueue()  # refused: missing argument
send_email.enqueue("a", templat="x")  # refused: unknown keyword
send_email.enqueue("a", "b")  # refused: keyword-only given by position
send_email.enqueue("a", delay="5m")  # refused: an option among the arguments
send_email.call(3)  # refused: wrong type in a call
send_email.using(to="a")  # refused: an argument among the options
send_email.using(dela="5m")  # refused: unknown option
send_email.using(priority="urgent")  # refused: not a level
send_email.using(isolate=True)  # refused: an option of the task, at one call
send_email.using(at="tomorrow")  # refused: a time as text
payload.enqueue(7)  # refused: wrong type to a task that takes a dict
x1: int = checksum.enqueue("x").result()  # refused: wrong type of a result
print(x1)
thumbnail.enqueue("x", width="3")  # refused: a class task, wrong type
thumbnail.enqueue()  # refused: a class task, missing argument
plain.enqueue("x", 3)  # refused: a class task, keyword-only given by position
sync_user.enqueue("7")  # refused: wrong type beside a resource
app.enqueue_many([send_email])  # refused: tasks where calls are wanted
job.retry(checksum.call("x"))  # refused: a retry with a call of another type


def passes_context(ctx: Context) -> None:
    report.enqueue(ctx, 7)  # refused: a context passed by hand


class NeedsPool:
    def __init__(self, pool: Pool) -> None: ...

    async def handle(self, path: str) -> str:
        return path


class NoHandle: ...


app.add(NeedsPool)  # refused: a class that cannot be made without arguments
app.add(NoHandle)  # refused: a class without handle


@app.task(attemps=3)  # refused: unknown option of the decorator
async def f1() -> None: ...


@app.task(timeout=[3])  # refused: wrong type of an option
async def f2() -> None: ...


@app.task
async def f3(id: int, db: str = resource(pool)) -> None: ...  # refused: a resource of another type


checksum_late = report.using(deadline=[3])  # refused: a deadline that is no time
app.strikes.add(7)  # refused: a strike of no task
app.on("job.died")  # refused: unknown event


@app.on("job.dead")  # refused: an observer of another type
def f4(event: str) -> None: ...


@app.middleware  # refused: sync middleware
def f5(ctx: Context, call_next: CallNext) -> object: ...


@app.before_enqueue  # refused: a hook of another type
def f6(outgoing: int) -> None: ...


index.enqueue("a")  # refused: an item of another type
index.enqueue([{"a": 1}])  # refused: a list where one item is wanted
measure.enqueue()  # refused: a batch without its item
x2: int = index.enqueue({"a": 1}).result()  # refused: wrong type of an item's result
print(x2)
measure(["a"])  # refused: a plain call of a batch without its context


@app.batch(size="many")  # refused: wrong type of a size
async def f7(items: list[str]) -> None: ...


@app.batch()  # refused: a batch that takes no list
async def f8(item: str) -> list[str]:
    return [item]


@app.batch()  # refused: a batch that returns no list
async def f9(items: list[str]) -> int:
    return 1


@app.batch(sizes=3)  # refused: unknown option of a batch
async def f10(items: list[str]) -> None: ...


Unique(by="to", on_conflict="fail")  # refused: not a way to meet a conflict
Unique(by="to", until="5m")  # refused: a window is a Throttle
Unique(by="to", on_conflict="replace", replace="tags")  # refused: not a part that can be replaced
Throttle("5m", by="to", on_conflict="latest")  # refused: in a window the first call wins
app.task(debounce="2s")  # refused: a duration is no rule

app.schedule("every hour", send_email)  # refused: a task where its call is due
app.schedule("every hour", send_email.call("a"), overlap="never")  # refused: not a policy
app.schedule("every hour", send_email.call("a"), every=5)  # refused: unknown option of a schedule
app.schedule(3600, send_email.call("a"))  # refused: a time that is no text
app.schedules.put("every hour", send_email.call("a"), start="tomorrow")  # refused: a moment as text

flow = Flow("order")
step = flow.add(send_email.call("a"))
flow.add(send_email)  # refused: a task where its call is due
flow.add(send_email.call("a"), after=step)  # refused: a step where a list is due
flow.add(send_email.call("a"), on="ok")  # refused: not an end of a parent
flow.add(send_email.call(step.output))  # refused: the result has another type
flow.add(send_email.call("a"), undo=send_email)  # refused: a task where its call is due
flow.enqueue().result("send_email")  # refused: a step by name has no type
send_email.call("a").then(send_email)  # refused: the result has another type
send_email.call("a").then(send_email.call("b"))  # refused: a call where its task is due
send_email.call("a").followed_by(send_email)  # refused: a task where its call is due
send_email.using(after=job)  # refused: a job where a list is due
send_email.using(after={job: "ok"})  # refused: not an end of a parent
group([send_email.call("a")])  # refused: a list where calls are due

Limit("openai", 5)  # refused: a rate that is no text
Limit("openai", "5/s", over="wait")  # refused: not a thing to do with one too many
Limit("openai", slots="three")  # refused: slots as text
Breaker("stripe", on="ConnectionError")  # refused: an exception by name
RateLimited()  # refused: no time
app.task(limits=["openai"])  # refused: limits by name
app.lane("tenant", weight="3")  # refused: a weight as text
app.limit(slots=2)  # refused: a queue's limit without a queue
send_email.using(lane="to")  # refused: an option of the task, at one call


async def spends(ctx: Context) -> None:
    ctx.spent("openai")  # refused: a limit without an amount
    await app.limiter("openai").acquire()  # refused: awaiting the sync form
