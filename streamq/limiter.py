"""A limit outside of jobs: the same tokens that jobs take, for a script, a web handler, or a loop inside a long job."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from streamq.durations import Duration, seconds
from streamq.errors import ConfigError, RateExceeded
from streamq.limits.rule import number_text
from streamq.protocol import Call
from streamq.protocol.keys import anchor_of
from streamq.protocol.limits import Acquired, acquire

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["Limiter"]

_UNKNOWN = 1.0  # seconds until a limit is asked again that cannot say when it opens

clock = time.monotonic


class Limiter:
    """Made by ``app.limiter``. It holds nothing: tokens are taken on the server, and slots are for jobs only."""

    __slots__ = ("_app", "name", "queue")

    def __init__(self, app: App, name: str, queue: str) -> None:
        self._app, self.name, self.queue = app, name, queue

    def __repr__(self) -> str:
        return f"<limiter {self.name} of {self.queue}>"

    def acquire(self, cost: float = 1, timeout: Duration | None = None) -> None:
        """Take ``cost`` tokens, and wait for them where there are not enough: for ``timeout`` at most.

        Raises RateExceeded, at once when they cannot be there in time; ``timeout=0`` asks once.
        """
        turn = _Turn(self.name, timeout)
        self._app.announced.ensure(self.queue)
        while not (answer := self._app.run(self._call(cost))).granted:
            time.sleep(turn.pause(answer))

    async def aacquire(self, cost: float = 1, timeout: Duration | None = None) -> None:  # noqa: ASYNC109 - as in acquire
        """Take ``cost`` tokens, and wait for them where there are not enough: for ``timeout`` at most.

        Raises RateExceeded, at once when they cannot be there in time; ``timeout=0`` asks once.
        """
        turn = _Turn(self.name, timeout)
        await self._app.announced.aensure(self.queue)
        while True:
            answer = await self._app.arun(self._call(cost))
            if answer.granted:
                return
            await asyncio.sleep(turn.pause(answer))

    def _call(self, cost: float) -> Call[Acquired]:
        if not 0.001 <= cost <= 1e12:
            raise ConfigError(f"limiter {self.name}: cost={cost!r:.60}; a number from 0.001 to 1e12 is due")
        anchor = anchor_of(self._app.config.namespace, self.queue)
        return acquire(anchor, 0, [(self.name, number_text(round(cost, 3)))])


class _Turn:
    """How long it may last until the tokens are there."""

    def __init__(self, name: str, timeout: Duration | None) -> None:
        self._name = name
        self._until = None if timeout is None else clock() + seconds(timeout, "timeout")

    def pause(self, answer: Acquired) -> float:
        """Seconds until the next try. Raises RateExceeded when that would be too late."""
        wait = _UNKNOWN if answer.wait_ms < 0 else answer.wait_ms / 1000
        if self._until is not None and clock() + wait > self._until:
            when = "it cannot say when" if answer.wait_ms < 0 else f"in {wait:.3g} s"
            raise RateExceeded(
                f"limit {answer.blocked_by or self._name} is closed; it opens: {when}. Nothing was taken"
            )
        return wait
