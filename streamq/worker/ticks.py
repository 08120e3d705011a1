"""What a worker does about the schedules of its queue: it ticks those that the server names, and offers those of its code.

All of it may be lost at any point. The server names a schedule to somebody else when it hears nothing for two seconds, and
a version of the code that is offered again changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from streamq.errors import ServerUnavailable, StreamqError
from streamq.protocol import Call
from streamq.queue import follow_async
from streamq.ticks.release import Release, Synced, declare
from streamq.wire import Payloads
from streamq.worker.notices import Notices
from streamq.worker.repeats import Repeats

if TYPE_CHECKING:
    from streamq.ticks.ticking import Run

__all__ = ["Ticks"]

OFFER_EVERY = 30.0  # seconds; the server takes a version for gone after three times that
OFFER_AGAIN = 1.0  # seconds after an offer that could not be made
LEAVE_WITHIN = 1.0  # seconds for what is under way when the worker leaves

R = TypeVar("R")


class Ticks:
    """Of one queue. ``release``: the schedules of the code, None for a process that does not speak for it."""

    def __init__(
        self,
        anchor: str,
        queue: str,
        release: Release | None,
        payloads: Payloads,
        notices: Notices,
        send: Callable[[Call[Any]], asyncio.Future[Any]],
        ring_after: Callable[[float, str], None],
    ) -> None:
        self._anchor, self._queue, self._release = anchor, queue, release
        self._payloads, self._notices, self._send = payloads, notices, send
        self._ring_after = ring_after
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = Repeats()
        self._offer_at, self._is_older = 0.0, False

    async def run(self, call: Call[R]) -> R:
        """Carry one call on the queue's connection."""
        return call.read(await self._send(call))

    def due(self, name: str) -> None:
        """The server says that a schedule is due."""
        if name not in self._under_way:
            self._under_way.add(name)
            self._begin(self._tick(name))

    def look_again(self, seconds: float) -> None:
        """Every worker is busy, and the next schedule is due then."""
        self._ring_after(seconds, "tick")

    def mind(self, now: float) -> None:
        """A look of the ticker: is it time to offer the schedules of the code?"""
        if self._release is not None and now >= self._offer_at:
            self._offer_at = now + OFFER_EVERY
            self._begin(self._offer(self._release, now))

    async def finish(self) -> None:
        """Let what is under way end, if it does so soon; the rest is for others."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_WITHIN)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tick(self, name: str) -> None:
        from streamq.ticks.ticking import tick  # what reads expressions is loaded where there are some

        try:
            flow = tick(self._anchor, 0, self._queue, name, self._payloads, self._notices.missed)
            for run in await follow_async(self, flow):
                self._say(name, run)
        except ServerUnavailable:
            pass  # said by the fetch loop; somebody is told again
        except StreamqError as error:
            if times := self._failures.met(time.monotonic()):  # the server names it again every two seconds
                self._notices.trouble("schedule.tick_failed", schedule=name, error=str(error), times=times)
        finally:
            self._under_way.discard(name)

    def _say(self, name: str, run: Run) -> None:
        if run.outcome.outcome in ("skipped", "missed"):
            self._notices.said(f"schedule.{run.outcome.outcome}", schedule=name, why=run.outcome.said)

    async def _offer(self, release: Release, now: float) -> None:
        try:
            synced = await follow_async(self, declare(self._anchor, 0, release))
        except ServerUnavailable:
            self._offer_at = now + OFFER_AGAIN
        except StreamqError as error:
            self._notices.trouble("schedule.not_declared", app=release.app, error=str(error))
        else:
            self._synced(release, synced)

    def _synced(self, release: Release, synced: Synced) -> None:
        if synced.verdict == "nothing":
            self._release = None
        if synced.verdict == "older" and not self._is_older:
            hint = "they come back when no worker has the newer ones; two Apps of one name need names of their own"
            self._notices.said("schedule.newer_declarations_hold", app=release.app, hint=hint)
        self._is_older = synced.verdict == "older"
        if synced.verdict == "apply":
            self._notices.said(
                "schedule.declared", app=release.app, kept=len(synced.kept), removed=synced.removed
            )
        for name, why in synced.refused.items():
            self._notices.trouble("schedule.refused", schedule=name, error=why)
