"""More and more workers' connections: what a wake costs beside sleepers, and a drain by as many consumers.

The consumers are bare connections of this process, not processes: a thousand of those would measure the machine.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from dataclasses import dataclass

from bench.ground import QUEUE, Run, function_us, middle, percentile, server_cpu
from bench.growth.curves import point, sizes
from bench.growth.direct import LEASE_MS, Direct, settled
from bench.growth.wire import Wire
from bench.jobs import noop
from bench.loads import PAYLOAD, on
from streamq.protocol import Argument
from streamq.protocol.keys import wake_channel
from streamq.queue import Queue

__all__ = ["measure"]

CONNECTIONS = (1, 10, 100, 500, 1_000)
COMPARED = (1, 500)  # whose wakes are held against each other
WAKES = 300
ROUNDS = 10
JOBS = 100_000
BATCH = 50


def measure(run: Run) -> dict[str, object]:
    """Points ``connections_<n>``, and the server's work for a wake with 500 sleepers as a multiple of that with one."""
    figures: dict[str, object] = {}
    for count in sizes(run, CONNECTIONS):
        figures |= point("connections", count, _wakes(run, count) | _drain(run, count))
    few, many = (figures.get(f"connections_{count}.wake_server_us") for count in COMPARED)
    if isinstance(few, dict) and isinstance(many, dict):
        figures["connections_wake_ratio"] = many["median"] / few["median"]
    return figures


@dataclass(slots=True)
class Consumer:
    """A registered consumer on a connection of its own, and what it has yet to settle."""

    wire: Wire
    queue: Queue
    name: str
    settlements: list[Argument]

    def ask(self, n: int) -> None:
        """Send a take that settles what was handed out before."""
        self.wire.call(self.queue.pop(self.name, n, settlements=self.settlements))

    def answer(self) -> int:
        """How many jobs it got."""
        groups = self.wire.read()[9]
        self.settlements = settled(groups)
        return sum(len(rows) // 3 for rows in groups[1::2])


def _consumer(run: Run, queue: Queue) -> Consumer:
    wire = Wire(run)
    wire.call(queue.register(LEASE_MS))
    return Consumer(wire, queue, wire.read()[0].decode(), [])


def _wakes(run: Run, count: int) -> dict[str, object]:
    """From an enqueue to the message in the woken one's socket, and the server's work in functions for wake, take and settle."""
    run.server.flush()
    wakes, times, spent = max(10, int(WAKES * run.scale)), list[float](), list[float]()
    with run.app() as app, contextlib.ExitStack() as stack, selectors.DefaultSelector() as bells:
        direct, enqueue = Direct.of(app, QUEUE), on(app, noop).enqueue
        for _ in range(count):
            _sleeper(run, direct, stack, bells)
        enqueue(PAYLOAD)  # the first one loads what is loaded late
        _woken(direct, bells)
        for _ in range(ROUNDS):
            before = function_us(run.server)
            for _ in range(wakes):
                began = time.perf_counter()
                enqueue(PAYLOAD)
                bells.select(5)
                times.append((time.perf_counter() - began) * 1e3)
                _woken(direct, bells)
            spent.append((function_us(run.server) - before) / wakes)
    return {
        "wake_p50_ms": percentile(times, 0.5),
        "wake_p99_ms": percentile(times, 0.99),
        "wake_server_us": middle(spent),
    }


def _sleeper(run: Run, direct: Direct, stack: contextlib.ExitStack, bells: selectors.BaseSelector) -> None:
    """One more idle worker, as the server sees it."""
    consumer, wire = direct.consumer(), stack.enter_context(Wire(run))
    wire.send("SSUBSCRIBE", wake_channel(direct.queue.anchor, consumer))
    wire.read()
    bells.register(wire, selectors.EVENT_READ, consumer)
    direct.engine.run(direct.queue.pop(consumer, 10))


def _woken(direct: Direct, bells: selectors.BaseSelector) -> None:
    """Whoever was rung takes, settles, and sleeps again."""
    for key, _ in bells.select(5):
        key.fileobj.read()  # type: ignore[union-attr]
        taken = direct.engine.run(direct.queue.pop(key.data, 10))
        direct.engine.run(direct.queue.settle(key.data, settled(taken.groups)))


def _took(consumers: list[Consumer]) -> int:
    """One take of each, all of them under way at once; how many jobs they got."""
    for consumer in consumers:
        consumer.ask(BATCH)
    return sum(consumer.answer() for consumer in consumers)


def _drain(run: Run, count: int) -> dict[str, object]:
    """All connections take at once, and again when all were answered."""
    run.server.flush()
    jobs = max(200, int(JOBS * run.scale))
    with run.app() as app, contextlib.ExitStack() as stack:
        direct = Direct.of(app, QUEUE)
        direct.fill(jobs)
        consumers = [_consumer(run, direct.queue) for _ in range(count)]
        for consumer in consumers:
            stack.enter_context(consumer.wire)
        cpu, began = server_cpu(run), time.perf_counter()
        while _took(consumers):  # the round in which nobody gets anything settles the last ones
            pass
        spent, seconds = server_cpu(run) - cpu, time.perf_counter() - began
    return {"drain_jobs_per_s": jobs / seconds, "server_us_per_job": spent / jobs * 1e6}
