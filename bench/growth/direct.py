"""Direct calls of the functions: filling a queue fast, and timing takes and enqueues on one that stays as deep as it is."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.ground import Run, percentile, wait_until
from bench.jobs import noop, tenant_noop
from bench.loads import PAYLOAD, on
from streamq import App
from streamq.engines.base import Engine
from streamq.errors import StreamqError
from streamq.protocol import Argument, Call
from streamq.protocol.consume import plain
from streamq.queue import Queue

__all__ = [
    "BODY_BYTES",
    "Direct",
    "Times",
    "bytes_each",
    "quiet",
    "settled",
]

BODY_BYTES = 100
BATCH = 1000
LEASE_MS = 600_000
NOISE = 10**6  # bytes
LANES = b"l"  # the level of lane jobs that run


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of takes and of enqueues."""

    takes: list[float]
    enqueues: list[float]

    def figures(self) -> dict[str, object]:
        """Their percentiles, and the whole distribution of takes."""
        return {
            "take_p50_ms": percentile(self.takes, 0.5),
            "take_p99_9_ms": percentile(self.takes, 0.999),
            "enqueue_p50_ms": percentile(self.enqueues, 0.5),
            "enqueue_p99_ms": percentile(self.enqueues, 0.99),
            "take_ms_at": _distribution(self.takes),
        }


@dataclass(frozen=True, slots=True)
class Direct:
    """One queue, and an engine that carries calls to it."""

    engine: Engine
    queue: Queue

    @classmethod
    def of(cls, app: App, queue: str) -> Direct:
        """Through the app's own connections."""
        return cls(app._client.engine, Queue(queue))

    def fill(self, jobs: int) -> None:
        """Plain jobs of 100 bytes that a fleet of bench.jobs can run, a thousand a call, one call ahead."""
        self._add(jobs, lambda count: (f"5*{count}", "noop", *[_body()] * count))

    def fill_lanes(self, jobs: int, lanes: int) -> None:
        """Jobs of 100 bytes and a bucket, in so many lanes by turns, as ``bench.jobs.tenant_noop`` puts them in."""
        tenants = iter(itertools.cycle(range(lanes)))
        each = max(1, min(BATCH, jobs) // lanes)

        def batch(count: int) -> list[Argument]:
            parts: list[Argument] = []
            for start in range(0, count, each):
                alike = min(each, count - start)
                parts += (
                    f"5={alike}",
                    "tenant_noop",
                    f"tenant:{next(tenants)}|provider",
                    *[_lane_body()] * alike,
                )
            return parts

        self._add(jobs, batch)

    def fill_delayed(self, jobs: int, first_ms: int) -> None:
        """The same, one due each millisecond from ``first_ms`` (since 1970) on."""
        due = iter(range(first_ms, first_ms + jobs))
        self._add(
            jobs,
            lambda count: [part for _ in range(count) for part in ("5:2", "noop", _body(), "at", next(due))],
        )

    def consumer(self) -> str:
        """A new one, with a lease that outlives the measurement."""
        return self.engine.run(self.queue.register(LEASE_MS)).consumer

    def cycle(self, app: App, rounds: int) -> Times:
        """Take one job, which settles the one before, and put one in, so that the queue stays as deep as it is."""
        enqueue, consumer = on(app, noop).using(queue=self.queue.name).enqueue, self.consumer()
        times, settlements = Times([], []), list[Argument]()
        for _ in range(rounds):
            began = time.perf_counter()
            taken = self.engine.run(self.queue.pop(consumer, 1, settlements=settlements))
            ended = time.perf_counter()
            enqueue(PAYLOAD)
            times.takes.append((ended - began) * 1e3)
            times.enqueues.append((time.perf_counter() - ended) * 1e3)
            settlements = settled(taken.groups)
        self.engine.run(self.queue.settle(consumer, settlements))
        self.engine.run(self.queue.retire(consumer))
        return times

    def _add(self, jobs: int, batch: Callable[[int], Sequence[Argument]]) -> None:
        calls = (
            Call("enqueue", self.queue.anchor, (0, "-", 0, 0, *batch(min(BATCH, jobs - start))), _unread)
            for start in range(0, jobs, BATCH)
        )
        for answer in self.engine.run_each(calls):
            if isinstance(answer, StreamqError):
                raise answer


def settled(groups: Sequence[Any]) -> list[Argument]:
    """The plain completion of all that a take handed out."""
    parts: list[Argument] = []
    for level, rows in zip(groups[::2], groups[1::2], strict=True):
        entries = rows[::3]
        jobs = [field.partition(b" ")[0] for field in rows[1::3]] if level == LANES else ()
        parts += plain(level, entries, b" ".join(entries), jobs)
    return parts


def quiet(run: Run) -> None:
    """Rewrite the append-only file, which the server does by itself when it has doubled, so that it does not do it next."""
    if not run.server.aof:
        return
    wait_until(lambda: not _rewrites(run), seconds=300, every=0.1)
    run.server.raw.bgrewriteaof()
    wait_until(lambda: not _rewrites(run), seconds=300, every=0.1)


def _rewrites(run: Run) -> bool:
    state = run.server.raw.info("persistence")
    return bool(state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])


def bytes_each(what: str, used: int, count: int) -> dict[str, float]:
    """``server_bytes_per_<what>``; nothing when so little was used that the server's own comings and goings would show."""
    return {f"server_bytes_per_{what}": used / count} if used > NOISE else {}


@cache
def _body() -> bytes:
    with App("memory://") as app:
        task = app.task(noop.fn)
        bare = len(task.call(PAYLOAD).new_job().body) - len(PAYLOAD)
        body: bytes = task.call("x" * (BODY_BYTES - bare)).new_job().body
        return body


@cache
def _lane_body() -> bytes:
    with App("memory://") as app:
        task = app.task(tenant_noop.fn)
        bare = len(task.call("0", "").new_job().body)
        body: bytes = task.call("0", "x" * (BODY_BYTES - bare)).new_job().body
        return body


def _unread(reply: object) -> None:
    """The ids are not needed."""


def _distribution(values: list[float]) -> dict[str, float]:
    shares = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
    return {name: percentile(values, share) for name, share in shares.items()} | {"most": max(values)}
