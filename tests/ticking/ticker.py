"""One process of the campaign: takes, is told of schedules, and ticks them, until it is killed."""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

from streamq.config import Config
from streamq.engines.base import Engine
from streamq.engines.factory import open_engine
from streamq.errors import StreamqError
from streamq.protocol import consume
from streamq.queue import follow
from streamq.ticks.ticking import tick
from streamq.wire import Payloads

LEASE = 3_600_000  # ms of virtual time
QUEUE = "mail"


class Clock:
    """A number of milliseconds in a file that all processes map."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(8))
        self._file = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(self._file, 8)

    @property
    def now(self) -> int:
        """The virtual time."""
        found: int = struct.unpack("<q", self._map[:8])[0]
        return found

    @now.setter
    def now(self, ms: int) -> None:
        self._map[:8] = struct.pack("<q", ms)


def run(url: str, anchor: str, clock: Clock) -> None:
    """Tick for ever, also through restarts of the server."""
    engine, payloads = open_engine(Config(url=url, reconnect_for=30)), Payloads("sq")
    while True:
        try:
            me = engine.run(consume.register(anchor, clock.now, LEASE, f"pid {os.getpid()}")).consumer
            while _turn(engine, anchor, clock, me, payloads):
                pass
        except StreamqError:
            time.sleep(0.01)


def _turn(engine: Engine, anchor: str, clock: Clock, me: str, payloads: Payloads) -> bool:
    """One take and what it tells; False when the server does not know this consumer as a clean one."""
    taken = engine.run(consume.take(anchor, clock.now, me, 0, 0))
    names = [text.removeprefix("tick ") for text in taken.commands if text.startswith("tick ")]
    for name in names:
        follow(engine, tick(anchor, clock.now, QUEUE, name, payloads, lambda missed: None))
    if not names:
        time.sleep(0.002)
    return taken.state == "clean"
