"""One way to speak to every engine: blocking, or awaited in an event loop of its own."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from streamq.config import Config, Durability
from streamq.engines.base import Kept
from streamq.engines.factory import open_async_engine, open_engine
from streamq.protocol import Call, Flow
from streamq.queue import follow, follow_async


class Driver(Protocol):
    """What the conformance suite needs of an engine."""

    def run(self, call: Call[Any]) -> Any: ...
    def run_durably(self, call: Call[Any], level: Durability) -> Kept: ...
    def follow(self, flow: Flow[Any]) -> Any: ...
    def command(self, *args: str | int) -> Any: ...
    def receive(self, key: str, timeout: float) -> bytes | None: ...
    def close(self) -> None: ...


class Blocking:
    """An ``Engine``."""

    def __init__(self, config: Config) -> None:
        self.engine = open_engine(config)
        self.run, self.run_durably = self.engine.run, self.engine.run_durably
        self.command, self.receive, self.close = self.engine.command, self.engine.receive, self.engine.close

    def follow(self, flow: Flow[Any]) -> Any:
        return follow(self.engine, flow)


class Awaited:
    """An ``AsyncEngine``."""

    def __init__(self, config: Config) -> None:
        self.loop = asyncio.Runner()
        self.engine = self.loop.run(self._open(config))

    def run(self, call: Call[Any]) -> Any:
        return self.loop.run(self.engine.run(call))

    def run_durably(self, call: Call[Any], level: Durability) -> Kept:
        return self.loop.run(self.engine.run_durably(call, level))

    def follow(self, flow: Flow[Any]) -> Any:
        return self.loop.run(follow_async(self.engine, flow))

    def command(self, *args: str | int) -> Any:
        return self.loop.run(self.engine.command(*args))

    def receive(self, key: str, timeout: float) -> bytes | None:
        return self.loop.run(self.engine.receive(key, timeout))

    def close(self) -> None:
        self.loop.run(self.engine.close())
        self.loop.close()

    async def _open(self, config: Config) -> Any:
        return open_async_engine(config)
