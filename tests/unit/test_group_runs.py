"""What runs of batches must hold, without a server: who runs with whom, how each member ends, and what can be taken back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from streamq.app import App
from streamq.context import BatchContext, Context, current_job
from streamq.errors import Cancelled, SoftTimeout
from streamq.handlers import CallNext
from streamq.outcomes import Dead, Outcome, Retry, Snooze
from streamq.worker.groups import MEMBERS
from streamq.worker.verdict import Stop
from workbench import Workbench, drive, make_app


@pytest.fixture
def app() -> App:
    return make_app()


@dataclass
class Item:
    tenant: str
    number: int = 0


def outcomes(work: Workbench) -> list[str | None]:
    """How all ended, in the order in which they were put in."""
    return [work.endings[entry] for entry in sorted(work.endings, key=lambda entry: int(entry.split("-")[1]))]


@pytest.mark.parametrize("form", ["async", "sync"])
def test_a_group_runs_when_it_is_full_or_when_its_first_member_has_waited(form: str, app: App) -> None:
    sizes: list[int] = []

    def double(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return [2 * item for item in items]

    async def double_on_loop(items: list[int]) -> list[int]:
        return double(items)

    app.batch(size=4, wait=0.05, name="double")(double if form == "sync" else double_on_loop)
    work = asyncio.run(drive(app, lambda work: [work.row("double", i) for i in range(10)]))
    assert sorted(work.results.values()) == [2 * i for i in range(10)]
    assert sizes == [4, 4, 2]


def test_only_what_by_says_runs_together_and_items_are_what_the_annotation_says(app: App) -> None:
    groups: list[list[Item]] = []

    @app.batch(size=100, wait=0, by="tenant")
    async def named(items: list[Item]) -> None:
        groups.append(items)

    @app.batch(size=100, wait=0, by=lambda item: item % 2)
    async def computed(items: list[int]) -> list[int]:
        return [sum(items)] * len(items)

    tenants = ["acme", "zeta", "acme"]
    work = asyncio.run(
        drive(app, lambda work: [work.row("named", Item(tenants[i % 3], i)) for i in range(9)])
    )
    assert sorted(len(group) for group in groups) == [3, 6]
    assert all(len({item.tenant for item in group}) == 1 for group in groups)
    assert {type(item) for group in groups for item in group} == {Item}
    assert set(work.results.values()) == {None}
    work = asyncio.run(drive(app, lambda work: [work.row("computed", i) for i in range(5)]))
    assert Counter(work.results.values()) == {2 + 4: 3, 1 + 3: 2}


def test_each_member_ends_as_the_handler_says_of_it(app: App) -> None:
    @app.batch(wait=0, attempts=2)
    async def sorts(items: list[str]) -> list[str | Outcome | Exception]:
        said = {
            "retry": Retry(7),
            "snooze": Snooze(8),
            "dead": Dead("stolen"),
            "error": ValueError("odd"),
            "cancelled": Cancelled(),
        }
        return [said.get(item, item) for item in items]  # type: ignore[misc]

    names = ["fine", "retry", "snooze", "dead", "error", "cancelled"]
    work = asyncio.run(drive(app, lambda work: [work.row("sorts", name) for name in names]))
    assert outcomes(work) == ["done", "retry", "snooze", "dead", "retry", "cancelled"]
    said = [ending.verdict for ending in work.verdicts.values()]
    assert [one.delay for one in said[:2]] == [7, 8]
    assert [str(one.fault and one.fault.text) for one in said[2:4]] == ["stolen", "odd"]


def test_a_run_that_raises_or_returns_a_wrong_list_fails_every_member(app: App) -> None:
    @app.batch(wait=0)
    async def raises(items: list[str]) -> None:
        raise ConnectionError("away")

    @app.batch(wait=0)
    def too_few(items: list[str]) -> list[str]:
        return items[1:]

    @app.batch(wait=0)
    def no_list(items: list[str]) -> list[str]:
        return "abc"  # type: ignore[return-value]

    names = ["raises", "too_few", "no_list"]
    work = asyncio.run(drive(app, lambda work: [work.row(name, "x") for name in names for _ in range(3)]))
    assert outcomes(work) == ["retry"] * 9
    texts = [ending.verdict.fault.text for ending in work.verdicts.values() if ending.verdict.fault]
    assert Counter(text.partition(";")[0] for text in texts) == {
        "away": 3,
        "batch too_few returned 2 results for 3 items": 3,
        "batch no_list returned a value of type str": 3,
    }


def test_what_cannot_be_read_or_grouped_ends_alone_and_costs_the_others_nothing(app: App) -> None:
    @app.batch(wait=0.02, by="tenant", attempts=1)
    async def takes(items: list[Item]) -> list[int]:
        return [item.number for item in items]

    @app.batch(wait=0.02, by="tenant")
    async def fields(items: list[dict[str, int]]) -> None: ...

    @app.batch(wait=0.02, by=lambda item: 1 // item, attempts=3)
    async def divides(items: list[int]) -> None: ...

    def rows(work: Workbench) -> list[Any]:
        return [
            work.row("takes", Item("acme", 1)),
            work.row("takes", body=b"\x01rubbish"),
            work.row("takes", {"number": 3}),
            work.row("takes", Item("acme"), 2),
            work.row("fields", {"other": 1}),
            work.row("takes", Item("acme", 2)),
            work.row("divides", 0),
            work.row("divides", 1),
        ]

    work = asyncio.run(drive(app, rows))
    assert outcomes(work) == ["done", "dead", "dead", "dead", "dead", "done", "retry", "done"]
    reasons = Counter(ending.verdict.reason for ending in work.verdicts.values() if ending.verdict.reason)
    assert reasons == {"bad payload": 3, "arguments do not fit": 1}


def test_a_run_has_one_timeout_for_all_and_a_member_that_was_cancelled_ends_alone(app: App) -> None:
    @app.batch(wait=0, timeout=0.1)
    async def hangs(items: list[int]) -> None:
        await asyncio.sleep(60)

    @app.batch(wait=0, timeout=0.1)
    def hangs_in_thread(items: list[int]) -> None:
        while True:
            time.sleep(0.01)

    @app.batch(wait=0, timeout=5, soft_timeout=0.1)
    async def tidies(items: list[int]) -> list[str]:
        try:
            await asyncio.sleep(60)
        except SoftTimeout:
            return ["tidy"] * len(items)
        return []

    names = ["hangs", "hangs_in_thread", "tidies"]

    async def cancel(work: Workbench) -> None:
        while work.bench.running < 3:
            await asyncio.sleep(0.001)
        first = min(work.bench.seats(), key=lambda seat: seat.row[0])
        assert work.bench.cancel(b"5", first.row[0])
        assert not work.bench.cancel(b"5", first.row[0])

    rows = [(name, i) for name in names for i in range(3)]
    work = asyncio.run(drive(app, lambda work: [work.row(*row) for row in rows], during=cancel))
    assert outcomes(work) == [
        "cancelled",
        "retry",
        "retry",
        "retry",
        "retry",
        "retry",
        "done",
        "done",
        "done",
    ]


def test_a_handler_that_does_not_end_is_given_up_for_every_member(app: App, monkeypatch: Any) -> None:
    monkeypatch.setattr("streamq.worker.bench.GRACE", 0.1)

    @app.batch(wait=0, timeout=0.1)
    async def swallows(items: list[int]) -> None:
        for _ in range(3):
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    async def scene() -> None:
        work = Workbench(app)
        await work.open()
        work.put(*(work.row("swallows", i) for i in range(3)))
        await work.until_ended(3)
        assert set(work.endings.values()) == {"retry"}
        assert work.bench.hung is not None
        assert work.bench.is_idle
        work.endings.clear()
        await work.until_ended(3)
        assert set(work.endings.values()) == {None}

    asyncio.run(scene())


def test_when_all_members_were_cancelled_the_handler_is_too(app: App) -> None:
    ended: list[str] = []

    @app.batch(wait=0)
    async def waits(ctx: BatchContext, items: list[int]) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(f"{ctx.cancelled} {[job.cancelled for job in ctx.jobs]}")
            raise

    async def cancel(work: Workbench) -> None:
        while not work.bench.running:
            await asyncio.sleep(0.001)
        work.bench.end(Stop.CANCEL, work.consumer)

    work = asyncio.run(drive(app, lambda work: [work.row("waits", i) for i in range(2)], during=cancel))
    assert outcomes(work) == ["cancelled", "cancelled"]
    assert ended == ["True [True, True]"]


@pytest.mark.parametrize("form", ["async", "sync"])
def test_handler_and_middleware_see_one_context_with_those_of_all_jobs(form: str, app: App) -> None:
    seen: list[Any] = []

    @app.middleware
    async def layer(ctx: Context, call_next: CallNext) -> object:
        assert isinstance(ctx, BatchContext)
        seen.append((ctx.task, len(ctx.jobs)))
        return await call_next()

    def handle(ctx: BatchContext, items: list[int]) -> list[str]:
        ctx.progress(0.5)
        ctx.jobs[0].partial("half")
        seen.append(current_job.get())
        return [f"{job.attempt} {job.id == ctx.id}" for job in ctx.jobs]

    async def handle_on_loop(ctx: BatchContext, items: list[int]) -> list[str]:
        return handle(ctx, items)

    app.batch(wait=0, name="handle")(handle if form == "sync" else handle_on_loop)
    work = asyncio.run(drive(app, lambda work: [work.row("handle", i) for i in range(3)]))
    assert list(work.results.values()) == ["1 True", "1 False", "1 False"]
    assert seen == [("handle", 3), None]
    assert [*map(sorted, work.told)] == [["fraction", "note"]] * 3 + [["partial"]]


def test_what_gathers_can_be_taken_back_and_has_not_begun_for_the_page(app: App) -> None:
    @app.batch(size=3, wait=60, by="tenant")
    async def holds(items: list[Item]) -> None:
        await asyncio.sleep(60)

    async def scene() -> None:
        work = Workbench(app, slots=1)
        await work.open()
        rows = [work.row("holds", Item(f"t{i // 3}")) for i in range(8)]
        work.put(*rows)
        while not work.bench.running:
            await asyncio.sleep(0)
        begun = [f"5-{row[0].decode()}" for row in rows[:3]]
        assert sorted(work.page.sections[0].started()) == begun
        assert len(work.bench.held(work.consumer)) == 8
        assert (work.bench.running, work.bench.waiting) == (1, 5)
        assert work.page.earliest_deadline() - time.monotonic() == pytest.approx(300, abs=5)
        taken = work.bench.withdraw(lambda row, lot: row in rows[3:5] or row == rows[7])
        assert sorted(row for row, _ in taken) == [*rows[3:5], rows[7]]
        assert sorted(row for row, _ in work.bench.withdraw(lambda row, lot: True)) == rows[5:7]
        assert not work.bench.waiting
        work.bench.end(Stop.SHUTDOWN)
        await work.until_ended(3)
        assert set(work.endings.values()) == {"release"}
        assert not work.page.sections[0].started()
        assert work.page.earliest_deadline() == float("inf")
        assert work.bench.is_idle

    asyncio.run(scene())


def test_a_flush_begins_what_gathers_where_a_slot_is_free(app: App) -> None:
    sizes: list[int] = []

    @app.batch(size=100, wait=60, by=lambda item: item % 3)
    async def counts(items: list[int]) -> None:
        sizes.append(len(items))
        await asyncio.sleep(0.01)

    async def scene() -> None:
        work = Workbench(app, slots=2)
        await work.open()
        work.put(*(work.row("counts", i) for i in range(9)))
        work.bench.is_stopping = True
        work.bench.flush()
        left = work.bench.withdraw(lambda row, lot: True)
        await work.until_ended(6)
        assert (sizes, len(left)) == ([3, 3], 3)

    asyncio.run(scene())


def test_when_all_seats_are_taken_the_oldest_groups_do_not_wait_for_company_that_cannot_come(
    app: App,
) -> None:
    sizes: list[int] = []

    @app.batch(size=7, wait=60, by=lambda item: item // 3)
    async def few(items: list[int]) -> list[int]:
        sizes.append(len(items))
        await asyncio.sleep(0)
        return items

    async def flush(work: Workbench) -> None:
        while len(work.outbox) < 300:  # until the lobby is empty
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert work.bench.waiting > MEMBERS - 50
        work.bench.flush()
        while work.bench.waiting:
            await asyncio.sleep(0.001)

    count = MEMBERS + 302
    work = asyncio.run(drive(app, lambda work: [work.row("few", i) for i in range(count)], during=flush))
    assert sorted(work.results.values()) == list(range(count))
    assert set(sizes[:100]) == {3}


def test_batches_and_other_jobs_do_not_starve_each_other(app: App) -> None:
    order: list[str] = []

    @app.batch(size=2, wait=0)
    async def many(items: list[int]) -> None:
        order.append("many")
        await asyncio.sleep(0.001)

    @app.task
    async def single(item: int) -> None:
        order.append("single")
        await asyncio.sleep(0.001)

    names = ["many", "single"]
    work = asyncio.run(drive(app, lambda work: [work.row(names[i % 2], i) for i in range(200)], slots=1))
    assert set(work.endings.values()) == {"done"}
    assert {"many", "single"} == set(order[:30])
    assert {"many", "single"} <= set(order[:3])


def test_a_run_that_code_of_another_job_cancelled_spends_no_attempt(app: App) -> None:
    tasks: list[Any] = []

    @app.batch(wait=0)
    async def victims(items: list[int]) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(60)

    async def kill(work: Workbench) -> None:
        while not tasks:
            await asyncio.sleep(0)
        tasks[0].cancel()

    work = asyncio.run(drive(app, lambda work: [work.row("victims", i) for i in range(2)], during=kill))
    assert outcomes(work) == ["snooze", "snooze"]
