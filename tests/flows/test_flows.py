"""Workflows through the public surface, with a worker in the process of the test."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from servers import Server
from streamq import App, Context, Flow, FlowFailed, FlowState, State, WrongCall, group
from streamq.errors import ConfigError, JobNotFound, StreamqError, WrongState
from streamq.worker import Worker

SECONDS = 20


@dataclass
class Receipt:
    order: int
    amount: float


class Shop:
    """An App with tasks in two queues; ``seen`` is what its handlers did, ``broken`` which of them fail."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.app = App(url, **settings)
        self.seen: list[str] = []
        self.broken: set[str] = set()

        @self.app.task(attempts=1)
        async def charge(order: int, amount: float = 5.0) -> Receipt:
            self.note("charge")
            return Receipt(order, amount)

        @self.app.task(queue="mail", attempts=1)
        def pack(item: str, amount: float = 0.0) -> str:
            self.note(f"pack {item}")
            return f"{item} for {amount}"

        @self.app.task(attempts=1)
        async def ship(boxes: list[str], receipt: Receipt) -> str:
            self.note("ship")
            return f"{receipt.order}: {', '.join(boxes)}"

        @self.app.task(queue="mail", attempts=1)
        async def undo(what: str, receipt: Receipt | None = None) -> None:
            self.note(f"undo {what}{f' of {receipt.order}' if receipt else ''}")

        @self.app.task(attempts=1)
        async def more(ctx: Context, count: int) -> None:
            flow = Flow.within(ctx)
            first = flow.add(pack.call("extra"))
            for _ in range(count):
                flow.add(undo.call("extra"), after=[first])
            await flow.aenqueue()

        self.charge, self.pack, self.ship, self.undo, self.more = charge, pack, ship, undo, more

    def note(self, what: str) -> None:
        self.seen.append(what)
        if what in self.broken:
            raise ValueError(f"{what} is broken")

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        worker = Worker(self.app)
        running = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await running
            for queue in ("default", "mail"):
                assert (await self.app.arun(self.app.queue(queue).conservation())).difference == 0
            await self.app.aclose()


def play(shop: Shop, scene: Callable[[], Awaitable[None]]) -> None:
    async def played() -> None:
        async with asyncio.timeout(SECONDS), shop.working():
            await scene()

    asyncio.run(played())


def test_results_go_from_step_to_step_whole_and_in_part_across_queues(server: Server) -> None:
    shop = Shop(server.url)

    async def scene() -> None:
        flow = Flow("order")
        paid = flow.add(shop.charge.call(7), name="paid")
        boxes = flow.map(lambda item: shop.pack.call(item, amount=paid.output.amount), ["a", "b"])
        sent = flow.add(shop.ship.call([box.output for box in boxes], paid.output))
        flow.add(shop.undo.call("money", paid.output), after=[sent], on="failure")
        run = await flow.aenqueue()
        assert await run.aresult(sent) == "7: a for 5.0, b for 5.0"
        assert await run.await_end() is FlowState.COMPLETED
        assert (await run.aprogress()).fraction == 1
        assert {step.name: step.status for step in await run.asteps()}["undo"] is State.SKIPPED

    play(shop, scene)
    assert sorted(shop.seen) == ["charge", "pack a", "pack b", "ship"]


def test_what_was_done_is_undone_in_reverse_order_when_a_flow_fails(server: Server) -> None:
    shop = Shop(server.url)
    shop.broken = {"ship"}

    async def scene() -> None:
        flow = Flow()
        paid = flow.add(shop.charge.call(7))
        paid.undone_by(shop.undo.call("charge", paid.output))
        packed = flow.add(shop.pack.call("a"), after=[paid], undo=shop.undo.call("pack"))
        flow.add(shop.ship.call([packed.output], paid.output), undo=shop.undo.call("ship"))
        run = await flow.aenqueue()
        with pytest.raises(FlowFailed, match=r"ship is dead \(default-5-"):
            await run.aresult()
        while await run.astatus() is FlowState.UNDOING:
            await asyncio.sleep(0.01)
        assert await run.astatus() is FlowState.FAILED
        with pytest.raises(WrongState, match="was undone"):
            await run.aretry()

    play(shop, scene)
    assert shop.seen == ["charge", "pack a", "ship", "undo pack", "undo charge of 7"]


def test_a_failed_flow_goes_on_from_the_step_that_failed(server: Server) -> None:
    shop = Shop(server.url)
    shop.broken = {"pack a"}

    async def scene() -> None:
        flow = Flow()
        paid = flow.add(shop.charge.call(7))
        boxes = [flow.add(shop.pack.call(item, amount=paid.output.amount)) for item in "ab"]
        sent = flow.add(shop.ship.call([box.output for box in boxes], paid.output))
        run = await flow.aenqueue()
        assert await run.await_end() is FlowState.FAILED
        shop.broken = set()
        assert await run.aretry() == 2
        assert await run.aresult(sent) == "7: a for 5.0, b for 5.0"
        assert await run.await_end() is FlowState.COMPLETED

    play(shop, scene)
    assert sorted(shop.seen) == ["charge", "pack a", "pack a", "pack b", "ship"]


def test_a_step_whose_condition_is_false_is_skipped_and_so_is_what_needs_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(server.url)
    monkeypatch.setenv("REGION", "eu")

    async def scene() -> None:
        flow = Flow()
        paid = flow.add(shop.charge.call(7), name="paid")
        big = flow.add(shop.pack.call("big"), when="paid.amount > 100.0", name="big")
        flow.add(shop.pack.call("behind"), after=[big])
        flow.add(shop.pack.call("anyway"), after={big: "any", paid: "success"})
        flow.add(
            shop.pack.call("here"), after=[paid], when="env.REGION == 'eu' && item == 'here'", env=["REGION"]
        )
        run = await flow.aenqueue()
        assert await run.await_end() is FlowState.COMPLETED
        steps = {step.name: step for step in await run.asteps()}
        assert [(steps[name].status, steps[name].by_parents) for name in ("big", "pack")] == [
            (State.SKIPPED, False),
            (State.SKIPPED, True),
        ]

    play(shop, scene)
    assert sorted(shop.seen) == ["charge", "pack anyway", "pack here"]


def test_a_condition_that_cannot_be_evaluated_is_a_failure_that_says_why(server: Server) -> None:
    shop = Shop(server.url)

    @shop.app.task
    async def anything() -> Any:
        return {"other": 1}

    async def scene() -> None:
        flow = Flow()
        flow.add(anything.call(), name="found")
        step = flow.add(shop.pack.call("a"), when="found.amount > 1")
        run = await flow.aenqueue()
        assert await run.await_end() is FlowState.FAILED
        assert "it has no 'amount'" in (await run.job(step).ainfo()).error

    play(shop, scene)
    assert shop.seen == []


def test_a_flow_can_be_cancelled_and_then_what_it_did_is_undone(server: Server) -> None:
    shop = Shop(server.url)

    async def scene() -> None:
        flow = Flow()
        paid = flow.add(shop.charge.call(7), undo=shop.undo.call("charge"))
        flow.add(shop.pack.using(delay="1h").call("a"), after=[paid])
        run = await flow.aenqueue()
        await run.job(paid).aresult()
        await run.acancel()
        assert await run.await_end() is FlowState.CANCELLED
        while await run.astatus() is FlowState.UNDOING:
            await asyncio.sleep(0.01)
        assert await run.astatus() is FlowState.CANCELLED

    play(shop, scene)
    assert shop.seen == ["charge", "undo charge"]


def test_a_running_job_adds_steps_to_its_flow_which_ends_with_them(server: Server) -> None:
    shop = Shop(server.url)

    async def scene() -> None:
        flow = Flow()
        flow.add(shop.more.call(2))
        run = await flow.aenqueue()
        assert await run.await_end() is FlowState.COMPLETED
        assert await run.aprogress() == (4, 4)
        assert [step.task for step in await run.asteps()] == ["more", "pack", "undo", "undo"]

    play(shop, scene)
    assert shop.seen == ["pack extra", "undo extra", "undo extra"]


def test_a_step_waits_for_jobs_and_flows_that_were_put_in_before(server: Server) -> None:
    shop = Shop(server.url)

    async def scene() -> None:
        plain = await shop.pack.using(delay=0.3).aenqueue("before")
        other = await shop.charge.call(1).followed_by(shop.pack.call("chained")).aenqueue()
        flow = Flow()
        flow.add(shop.pack.call("after"), after=[plain, other])
        run = await flow.aenqueue()
        assert await run.await_end() is FlowState.COMPLETED
        single = await shop.charge.using(after={plain: "any", run: "success"}).aenqueue(9)
        assert (await single.aresult()).order == 9

    play(shop, scene)
    assert shop.seen[-2:] == ["pack after", "charge"]


def test_chains_and_groups_pass_results_on(server: Server) -> None:
    shop = Shop(server.url)

    async def scene() -> None:
        chain = group(*[shop.pack.call(item) for item in "ab"]).then(shop.ship, Receipt(7, 1.0))
        run = await chain.followed_by(shop.pack.call("last")).aenqueue()
        assert await run.aresult() == "last for 0.0"
        assert await (await chain.aenqueue()).aresult() == "7: a for 0.0, b for 0.0"
        both = await group(shop.pack.call("x"), shop.pack.call("y")).aenqueue()
        assert await both.aresult() == ["x for 0.0", "y for 0.0"]

    play(shop, scene)


def test_sealed_results_are_opened_where_they_are_needed_and_nowhere_else(server: Server) -> None:
    keys = f"k1:{base64.b64encode(bytes(range(32))).decode()}"
    shop = Shop(server.url, keys=keys)

    async def scene() -> None:
        flow = Flow()
        paid = flow.add(shop.charge.call(7), name="paid")
        sent = flow.add(shop.ship.call(["a"], paid.output), when="paid.order == 7")
        run = await flow.aenqueue()
        assert await run.aresult(sent) == "7: a"

    play(shop, scene)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (lambda f, s, p: f.add(s.pack.call("a"), when="paid.amount >"), ConfigError, "is no expression"),
        (lambda f, s, p: f.add(s.pack.call("a"), when="pade.amount > 1.0"), ConfigError, "did you mean 'paid'"),
        (lambda f, s, p: f.add(s.pack.call("a"), when="paid.amount + 'x' == 'y'"), ConfigError, "cannot be evaluated"),
        (lambda f, s, p: f.add(s.pack.call("a"), when="paid.amuont > 1.0"), ConfigError, "has no 'amuont'"),
        (lambda f, s, p: f.add(s.pack.call("a"), when="item"), ConfigError, "true or false is due"),
        (lambda f, s, p: f.add(s.pack.call("a"), when="env.HOME == ''"), ConfigError, "'env' is unknown"),
        (lambda f, s, p: f.add(s.pack.call("a"), after=p), WrongCall, r"after=\[paid\]"),
        (lambda f, s, p: f.add(s.pack.call("a"), after=[7]), WrongCall, "steps, jobs, flows"),
        (lambda f, s, p: f.add(s.pack.call("a"), after=["x"]), JobNotFound, "is not a job id"),
        (lambda f, s, p: f.add(s.pack.call("a"), after=[p], on="ok"), ConfigError, "success, failure, any"),
        (lambda f, s, p: f.add(s.pack.call("a"), name="paid"), WrongCall, "has a step 'paid' already"),
        (lambda f, s, p: f.add(s.pack.call("a"), name="a b"), ConfigError, "letters, digits"),
        (lambda f, s, p: f.add("pack"), WrongCall, "is no call"),
        (lambda f, s, p: Flow().add(s.pack.call("a"), after=[p]), WrongCall, "belongs to another flow"),
        (lambda f, s, p: f.add(Shop("memory://").pack.call("a")), WrongCall, "belongs to another App"),
        (lambda f, s, p: [*p.output], WrongCall, "cannot be gone through"),
        (lambda f, s, p: bool(p.output.amount), WrongCall, "neither true nor false"),
        (lambda f, s, p: p.undone_by(s.undo.call("a")).undone_by(s.undo.call("b")), WrongCall, "undone already"),
        (lambda f, s, p: s.charge.call(p.output).enqueue(), WrongCall, "cannot be sent"),
        (lambda f, s, p: Flow().enqueue(), WrongCall, "has no steps"),
        (lambda f, s, p: s.pack.using(after="mail-5-1-1"), ConfigError, "a list of jobs is due"),
        (lambda f, s, p: s.pack.using(after={"mail-5-1-1": "ok"}), ConfigError, "success, failure or any"),
        (lambda f, s, p: s.pack.using(after=[7]), ConfigError, "jobs, flows that run"),
        (lambda f, s, p: group(), WrongCall, "has no calls"),
        (lambda f, s, p: s.charge.call(1).then(s.ship), WrongCall, "ship"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    wrong: Callable[[Any, Any, Any], Any], error: type[Exception], said: str
) -> None:
    shop = Shop("unix:///nowhere")
    flow = Flow()
    paid = flow.add(shop.charge.call(7), name="paid")
    with pytest.raises(error, match=said):
        wrong(flow, shop, paid)


def test_a_flow_that_is_refused_in_the_middle_runs_not_at_all(valkey: Server) -> None:
    shop = Shop(valkey.url)
    with shop.app as app:
        flow = Flow()
        paid = flow.add(shop.charge.call(7))
        flow.add(shop.pack.call("x" * 2_000_000), after=[paid])
        with pytest.raises(StreamqError, match="payload_max"):
            flow.enqueue()
        app.run(app.queue("default").pause())
        blocker = Flow()
        blocker.add(shop.charge.call(7))
        blocker.add(shop.charge.using(unique=unique()).call(8))
        blocker.add(shop.charge.using(unique=unique()).call(8))
        with pytest.raises(StreamqError, match="holds the unique key"):
            blocker.enqueue()
        stats = app.run(app.queue("default").stats())
        assert (stats["pending"], stats["waiting"]) == ("0", "0")


def unique() -> Any:
    from streamq import Unique

    return Unique(by="order")
