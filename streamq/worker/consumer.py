"""A consumer: the id under which a process takes from one shard, and what is outstanding under it.

An id is made by the server and never used again. When it was taken back (its lease was over, or the server failed over),
the process takes a new one, settles what is left under the old one, and retires that.
"""

from __future__ import annotations

import time

from streamq.protocol import Call
from streamq.protocol.consume import Registered, register
from streamq.worker.outbox import Outbox

__all__ = ["Consumer", "registration"]


def registration(anchor: str, lease: float, about: str) -> Call[Registered]:
    """The call that makes a consumer."""
    return register(anchor, 0, round(lease * 1000), about)


class Consumer:
    """``offset``: the shard's monotonic clock less this machine's, in seconds, and ``wall``: its wall clock less that.

    ``place``: what stands before its jobs' ids.

    ``is_over``: nothing may be taken under this id, and what runs under it is not this process's any more.
    """

    __slots__ = ("generation", "id", "is_over", "offset", "outbox", "place", "wall")

    def __init__(self, name: str, place: str, outbox: Outbox, mono_ms: int, now_ms: int) -> None:
        self.id, self.place, self.outbox = name, place, outbox
        self.generation = 0
        self.is_over = False
        self.heard(mono_ms, now_ms)

    def heard(self, mono_ms: int, now_ms: int) -> None:
        """The server has said what its clocks are."""
        now = time.monotonic()
        self.offset, self.wall = mono_ms / 1000 - now, now_ms / 1000 - now

    def mono_ms(self) -> float:
        """The shard's monotonic clock, in milliseconds."""
        return (time.monotonic() + self.offset) * 1000

    def now_ms(self) -> float:
        """The server's wall clock, in milliseconds since 1970."""
        return (time.monotonic() + self.wall) * 1000
