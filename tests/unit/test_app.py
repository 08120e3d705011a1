"""What is refused when it is declared or called, and what tasks say of themselves. Nothing here reaches a server."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from typing import Any, NoReturn

import pytest
import structlog

from streamq import App, Call, Context, Debounce, Event, Outgoing, Unique, WrongCall, resource
from streamq.context import current_job
from streamq.errors import ConfigError, JobNotFound, PayloadTooLarge
from streamq.protocol.enqueue import NewJob
from streamq.wire import Unpacked

NOWHERE = "redis://127.0.0.1:1"  # a connection to it would be an error


@pytest.fixture
def app() -> App:
    return App(NOWHERE)


def opened(app: App, job: NewJob, queue: str = "default") -> Unpacked:
    return app.payloads.unpack(queue, job.task, job.body)


def named(pairs: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def test_a_task_is_its_function(app: App) -> None:
    def checksum(path: str) -> str:
        """Sums up."""
        return path * 2

    task = app.task(checksum)
    assert task("x") == "xx"
    assert (task.name, task.__name__, task.__doc__) == ("checksum", "checksum", "Sums up.")  # type: ignore[attr-defined]
    assert inspect.signature(task) == inspect.signature(checksum)
    assert app.tasks == {"checksum": task}


def test_a_plain_call_takes_the_context_by_hand(app: App) -> None:
    @app.task
    async def report(ctx: Context, user: int) -> str:
        return f"{ctx.id} {user}"

    ctx = Context("mail-5-1-0", "report", "mail", 1, 1, 0, tell=lambda told: None, pack=repr)
    assert asyncio.run(report(ctx, 7)) == "mail-5-1-0 7"


def test_what_cannot_be_meant_so_is_refused_when_it_is_declared(app: App) -> None:
    class Report:
        def handle(self) -> None: ...

    def by_another_name(context: Context, user: int) -> None: ...

    with pytest.raises(ConfigError, match="rename 'context'"):
        app.task(by_another_name)
    with pytest.raises(ConfigError, match="give it to app.add"):
        app.task(Report)
    with pytest.raises(ConfigError, match="name its events"):
        app.on()(print)
    with pytest.raises(ConfigError, match="@app.on"):
        app.on(print)  # type: ignore[arg-type]


def test_a_wrong_call_is_refused_before_anything_is_sent(app: App) -> None:
    @app.task
    async def send(to: str) -> None: ...

    for wrong in (send.enqueue, send.aenqueue, send.call):
        with pytest.raises(WrongCall, match="Nothing was sent"):
            wrong("a", copy="b")  # type: ignore[call-arg]


def test_an_argument_that_cannot_be_sent_is_named(app: App) -> None:
    @app.task
    def store(key: str, value: object) -> None: ...

    with pytest.raises(WrongCall, match="'value'"):
        store.enqueue("k", object())
    with pytest.raises(PayloadTooLarge, match="store"):
        store.enqueue("k", bytes(2**21))


def test_one_call_that_cannot_be_packed_keeps_all_of_them_back(app: App) -> None:
    @app.task
    def store(value: object) -> None: ...

    with pytest.raises(WrongCall):
        app.enqueue_many([store.call(1), store.call(object())])


def test_two_tasks_of_one_name_are_refused_with_both_places(app: App) -> None:
    @app.task
    def twice() -> None: ...

    first = twice.place
    with pytest.raises(ConfigError) as caught:

        @app.task(name="twice")
        def other() -> None: ...

    assert first in str(caught.value)
    assert "other" in str(caught.value)
    assert "test_app.py:" in first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attemps": 3}, "did you mean attempts"),
        ({"nonexist": 3}, "there are queue"),
        ({"queue": "a{b}"}, "queue"),
        ({"timeout": "5 bananas"}, "timeout"),
        ({"priority": 12}, "priority"),
        ({"unique": Unique(by="too")}, "did you mean 'to'"),
        (
            {"debounce": Debounce(1, by="too")},
            r"Debounce\(by='too'\) names no argument of it; did you mean 'to'",
        ),
        ({"name": "a b"}, "name"),
    ],
)
def test_options_that_cannot_be_used_are_refused_at_declaration(
    app: App, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):

        @app.task(**options)
        def send(to: str) -> None: ...


def test_options_that_cannot_be_used_are_refused_at_the_call(app: App) -> None:
    @app.task
    def send(to: str) -> None: ...

    with pytest.raises(ConfigError, match="delay"):
        send.using(dela="5m")  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="names no argument"):
        send.using(unique=Unique(by="too"))
    with pytest.raises(ConfigError, match="switch it off for this call with debounce=None"):
        send.using(delay="5m").using(debounce=Debounce("2s", by="to"))


def test_what_yields_or_is_no_function_is_no_task(app: App) -> None:
    def rows() -> Iterator[int]:
        yield 1

    with pytest.raises(ConfigError, match="does not yield"):
        app.task(rows)
    with pytest.raises(ConfigError, match="name"):
        app.task(lambda: None)
    with pytest.raises(ConfigError, match="handle"):
        app.add(lambda: None)  # type: ignore[arg-type, return-value]


def test_a_class_is_made_once_for_all_of_its_jobs(app: App) -> None:
    made: list[object] = []

    class Thumbnail:
        def __init__(self) -> None:
            made.append(self)

        async def handle(self, ctx: Context, path: str) -> str:
            return path

        async def completed(self, ctx: Context, result: str) -> None: ...

    task = app.add(Thumbnail, queue="images")
    assert made == []
    assert task.name == "Thumbnail"
    assert (task.is_async, task.wants_context, task.signature.names) == (True, True, ("path",))
    hooks = task.hooks
    assert hooks is not None
    assert hooks.completed is not None
    assert hooks.failed is None
    assert task.handler().__self__ is hooks.completed.__self__  # type: ignore[attr-defined]
    assert len(made) == 1


def test_what_one_call_changes_travels_in_its_payload(app: App) -> None:
    @app.task(attempts=5, tags=["slow"])
    def send(to: str) -> None: ...

    changed = send.using(delay="5m", priority="high").using(attempts=2)
    job = changed.call("a").new_job()
    assert opened(app, job).options == {"attempts": 2}
    assert named(job.options) == {"delay": 300_000, "tags": "slow"}
    assert job.level == 7
    assert opened(app, send.call("a").new_job()).options == {}


def test_a_plain_job_says_nothing_but_its_arguments(app: App) -> None:
    @app.task
    def send(to: str, *, template: str = "welcome") -> None: ...

    job = send.call("a", template="bye").new_job()
    assert (job.task, job.level, job.options) == ("send", 5, ())
    assert opened(app, job) == Unpacked(["a"], {"template": "bye"}, {})


def test_a_unique_key_is_equal_for_equal_arguments_however_they_are_given(app: App) -> None:
    @app.task(unique=Unique(by=("to", "template"), until="start"))
    def send(to: str, template: str = "welcome", copy: bool = False) -> None: ...

    def key(call: Call[None]) -> str:
        pairs = named(call.new_job().options)
        assert (pairs["until"], pairs["on_conflict"]) == ("start", "existing")
        return str(pairs["unique"])

    same = {key(send.call("a")), key(send.call(to="a", template="welcome")), key(send.call("a", copy=True))}
    assert len(same) == 1
    assert key(send.call("b")) not in same


def test_what_is_no_call_is_refused_in_bulk_with_what_to_give(app: App) -> None:
    @app.task
    def add(left: int, right: int) -> None: ...

    for wrong in ((1, 2), app.job("default-5-1-0"), add):
        with pytest.raises(WrongCall, match=r"number 1 is a .* task\.call\("):
            app.enqueue_many([add.call(1, 2), wrong])  # type: ignore[list-item]


def test_a_hook_that_cannot_work_is_refused_at_its_declaration(app: App) -> None:
    async def waits(outgoing: Outgoing) -> None: ...
    def takes_nothing() -> None: ...
    def plain(ctx: Context, call_next: Any) -> None: ...
    async def lonely(ctx: Context) -> None: ...

    for declare, wrong in (
        (app.before_enqueue, waits),
        (app.before_enqueue, takes_nothing),
        (app.middleware, plain),
        (app.middleware, lonely),
    ):
        with pytest.raises(ConfigError, match=wrong.__name__):
            declare(wrong)  # type: ignore[operator]


def test_a_hook_sees_the_arguments_by_name_and_adds_headers(app: App) -> None:
    seen: list[dict[str, Any]] = []

    @app.before_enqueue
    def stamp(outgoing: Outgoing) -> None:
        seen.append(dict(outgoing.arguments))
        outgoing.headers["trace"] = outgoing.task

    @app.task
    def send(to: str, template: str = "welcome") -> None: ...

    assert opened(app, send.call("a").new_job()).options == {"headers": {"trace": "send"}}
    assert seen == [{"to": "a", "template": "welcome"}]


def test_a_job_that_is_put_in_by_a_handler_knows_its_parent(app: App) -> None:
    @app.task
    def child() -> None: ...

    ctx = Context("mail-5-1-0", "report", "mail", 1, 1, 0, tell=lambda told: None, pack=repr)
    token = current_job.set(ctx)
    try:
        job = child.call().new_job()
    finally:
        current_job.reset(token)
    assert opened(app, job).options == {"parent": "mail-5-1-0"}
    assert named(job.options) == {"parent": "mail-5-1-0"}


def test_a_large_payload_moves_into_its_record() -> None:
    app = App(NOWHERE, inline_max=100)

    @app.task
    def store(value: bytes) -> None: ...

    assert store.call(bytes(50)).new_job().options == ()
    assert named(store.call(bytes(range(256))).new_job().options) == {"record": 1}


def test_arguments_come_back_as_the_annotations_say(app: App) -> None:
    @app.task
    def plan(ctx: Context, day: date, places: set[str], note: str = "") -> None: ...

    sent = opened(app, plan.call(date(2026, 11, 24), {"a"}).new_job())
    assert plan.convert is not None
    assert plan.convert(sent.args, sent.kwargs) == ([date(2026, 11, 24), {"a"}], {})

    @app.task
    def plain(note: str, count: int) -> None: ...

    assert plain.convert is None


@pytest.mark.parametrize("error", [RuntimeError("observer"), SystemExit("observer"), GeneratorExit()])
def test_an_observer_is_told_what_it_asked_for_and_is_never_in_the_way(
    app: App, error: BaseException
) -> None:
    told: list[str] = []

    @app.on("job.dead")
    def breaks(event: Event) -> None:
        raise error

    @app.on("job.dead", "worker.lost")
    def notes(event: Event) -> None:
        told.append(event.name)

    for name in ("job.dead", "job.completed", "worker.lost"):
        app.observers.tell(Event(name))  # type: ignore[arg-type]
    assert told == ["job.dead", "worker.lost"]
    assert not app.observers.wants("job.completed")
    with pytest.raises(ConfigError, match=r"Did you mean 'job\.dead'"):
        app.on("job.ded")(notes)  # type: ignore[arg-type]


def test_ctrl_c_in_an_observer_ends_the_program_and_a_log_that_fails_ends_nothing(app: App) -> None:
    error: BaseException = RuntimeError("observer")

    @app.on("job.dead")
    def breaks(event: Event) -> None:
        raise error

    def full(*_: object) -> NoReturn:
        raise OSError(28, "no space left on device")

    structlog.configure(processors=[full])
    try:
        app.observers.tell(Event("job.dead"))
        error = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            app.observers.tell(Event("job.dead"))
    finally:
        structlog.reset_defaults()


def test_resources_are_opened_once_in_order_of_need_and_closed_in_reverse(app: App) -> None:
    log: list[str] = []

    @app.lifespan
    async def life() -> AsyncIterator[None]:
        log.append("start")
        yield
        log.append("end")

    @app.resource
    async def pool() -> AsyncIterator[str]:
        log.append("open pool")
        yield "pool"
        log.append("close pool")

    @app.resource
    def model(pool: str = resource(pool)) -> Iterator[str]:
        log.append(f"open model with {pool}")
        yield "model"
        log.append("close model")

    @app.task
    def first(m: str = resource(model), p: str = resource(pool)) -> None: ...

    @app.task
    async def second(*, p: str = resource(pool)) -> None: ...

    async def worker() -> list[dict[str, Any]]:
        async with app.container([first, second]) as container:
            return [container.fill(task.resources) for task in (first, second)]

    assert asyncio.run(worker()) == [{"m": "model", "p": "pool"}, {"p": "pool"}]
    opening = ["start", "open pool", "open model with pool"]
    assert log == [*opening, "close model", "close pool", "end"]


def test_a_resource_that_fails_to_open_closes_those_before_it(app: App) -> None:
    log: list[str] = []

    @app.resource
    def first() -> Iterator[int]:
        yield 1
        log.append("closed")

    @app.resource
    def broken(first: int = resource(first)) -> Iterator[int]:
        raise RuntimeError("no route")
        yield 1

    @app.task
    def task(value: int = resource(broken)) -> None: ...

    async def worker() -> None:
        async with app.container([task]):
            pass

    with pytest.raises(RuntimeError, match="no route"):
        asyncio.run(worker())
    assert log == ["closed"]


def test_what_is_no_id_is_refused_with_the_form_of_one(app: App) -> None:
    with pytest.raises(JobNotFound, match="one looks like mail-5-"):
        app.job("nonsense").status()


def test_the_methods_of_a_job_and_their_a_forms_say_the_same() -> None:
    from streamq import Job

    def waiting(name: str) -> bool:
        return callable(getattr(Job, f"a{name}", None)) and not name.startswith("_")

    pairs = [name for name in vars(Job) if waiting(name)]
    assert pairs == [
        "result",
        "status",
        "info",
        "explain",
        "progress",
        "cancel",
        "promote",
        "signal",
        "retry",
    ]
    for name in pairs:
        plain: Callable[..., Any] = getattr(Job, name)
        awaited: Callable[..., Any] = getattr(Job, f"a{name}")
        assert inspect.signature(plain) == inspect.signature(awaited)
        assert inspect.iscoroutinefunction(awaited)
        assert (plain.__doc__ or "").split(".")[0] == (awaited.__doc__ or "").split(".")[0]
