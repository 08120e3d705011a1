"""The bell of a fetch loop: what ends its rest. A ring says that it must call; timers ring by themselves."""

from __future__ import annotations

import asyncio

__all__ = ["Bell"]


class Bell:
    """``is_rung``: the loop must call, whatever it thinks of its state."""

    def __init__(self) -> None:
        self.is_rung = False
        self._awake = asyncio.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def is_awake(self) -> bool:
        """Whether the loop's next rest ends at once."""
        return self._awake.is_set()

    def ring(self) -> None:
        """Call now."""
        self.is_rung = True
        self._awake.set()

    def wake(self) -> None:
        """Look at the state."""
        self._awake.set()

    def rest_again(self) -> None:
        """The state was looked at, and a call was made of it."""
        self._awake.clear()

    async def rest(self) -> None:
        """Wait for a reason to look."""
        await self._awake.wait()

    def ring_after(self, seconds: float, what: str) -> None:
        """Ring by itself, unless the same is planned already."""
        if what not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[what] = loop.call_later(seconds, self._due, what)

    def answer(self) -> None:
        """A call is about to be made: rings and timers up to now are served by it."""
        self.is_rung = False
        self.silence()

    def silence(self) -> None:
        """Forget all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, what: str) -> None:
        """A timer forgets itself first, so that one that fires during a call can be set again after it."""
        del self._timers[what]
        self.ring()
