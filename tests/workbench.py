"""A bench without a server: jobs are put in as a take would bring them, endings are read from the outbox."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from streamq.app import App
from streamq.config import Config
from streamq.protocol.consume import Row
from streamq.wire import Unpacked
from streamq.worker.batch_plan import plan_of
from streamq.worker.bench import Bench
from streamq.worker.consumer import Consumer
from streamq.worker.desk import SeatDesk
from streamq.worker.outbox import Ending, Outbox
from streamq.worker.plan import Plan
from streamq.worker.seat import Lot, Seat
from streamq.worker.worker import page_for

LEVEL = b"5"


class Workbench:
    """The inner loop of a worker on the running event loop, with what surrounds it."""

    def __init__(self, app: App, slots: int = 10) -> None:
        self.page = page_for(app, {"default": 2 * slots})
        self.outbox = Outbox("default", "default", app.payloads)
        self.consumer = Consumer(
            "c1", "default", self.outbox, int(time.time() * 1000), int(time.time() * 1000)
        )
        self.lot = Lot(self.consumer, LEVEL, 1)
        self.plans = {
            name.encode(): plan_of(task, "default", app.payloads, app.middleware_layers)
            for name, task in app.tasks.items()
        }
        self.bench = Bench(self.plans, slots, self.page.sections[0], self)
        self.endings: dict[str, str | None] = {}
        self.verdicts: dict[str, Ending] = {}
        self.results: dict[str, Any] = {}
        self.told: list[dict[str, Any]] = []
        self._app, self._numbers = app, itertools.count()
        self._changed = asyncio.Event()

    async def open(self) -> None:
        container = await self._app.container(self._app.tasks.values()).__aenter__()
        for plan, task in zip(self.plans.values(), self._app.tasks.values(), strict=True):
            plan.prepare(task, container, self.bench.hop)

    def row(self, task: str, *args: Any, body: bytes | None = None, **kwargs: Any) -> Row:
        """A plain delivery."""
        entry = b"%d-%d" % (int(time.time() * 1000), next(self._numbers))
        packed = self._app.payloads.pack("default", task, args, kwargs) if body is None else body
        return entry, task.encode(), packed

    def put(self, *rows: Row) -> None:
        self.bench.arrive(self.lot, list(rows))

    async def until_ended(self, count: int, seconds: float = 10) -> None:
        """Wait for so many endings; collects them, and looks for late handlers as a worker does."""
        async with asyncio.timeout(seconds):
            while len(self.endings) < count:
                self.bench.scan(time.monotonic())
                self._collect()
                if len(self.endings) < count:
                    await asyncio.sleep(0.002)
        self._collect()

    def _collect(self) -> None:
        batch = self.outbox.drain(0.0)
        for items in batch.completions.values():
            for entry, _, _, _, result in items:
                self._note(entry.decode(), "done", result)
        for ending in batch.endings:
            self._note(ending.entry.decode(), ending.verdict.outcome, ending.result)
            self.verdicts[ending.entry.decode()] = ending

    def _note(self, entry: str, outcome: str | None, result: Any) -> None:
        assert entry not in self.endings, "a delivery ended twice"
        self.endings[entry], self.results[entry] = outcome, result

    # what a bench knows of its outside

    def tell(self, seat: Seat, said: dict[str, Any]) -> None:
        self.told.append(said)

    def open_desk(self, seat: Seat) -> SeatDesk:
        raise AssertionError("no task here does steps")

    def changed(self) -> None: ...

    def settle_soon(self) -> None: ...

    async def body_of(self, seat: Seat) -> bytes:
        await asyncio.sleep(0)
        return self._app.payloads.pack("default", "large", (1,), {})

    async def give(self, seat: Seat, opened: Unpacked) -> None:
        raise AssertionError("no job here has parents")

    async def isolate(self, seat: Seat, plan: Plan, args: list[Any], kwargs: dict[str, Any]) -> Any:
        raise AssertionError("no task here is isolated")

    def ended(self, lot: Lot, ending: Ending) -> None:
        if ending.verdict.outcome is None:
            self._note(ending.entry.decode(), None, None)
        else:
            self.outbox.add(ending)


async def drive(
    app: App,
    jobs: Callable[[Workbench], list[Row]],
    slots: int = 10,
    during: Callable[[Workbench], Awaitable[None]] | None = None,
) -> Workbench:
    """Run jobs to their ends."""
    work = Workbench(app, slots)
    await work.open()
    rows = jobs(work)
    work.put(*rows)
    if during:
        await during(work)
    await work.until_ended(len(rows))
    work.bench.threads.close()
    return work


def make_app() -> App:
    return App(config=Config(url="unix:///nowhere"))
