"""Seconds between attempts to connect: they grow, with jitter, so that a fleet does not come back at once."""

from __future__ import annotations

import random

__all__ = ["Pauses"]

FIRST, LONGEST = 0.05, 5.0


class Pauses:
    """The pauses of one loop."""

    def __init__(self) -> None:
        self._next = FIRST

    def next(self) -> float:
        """The next pause, between a half and the whole of what it has grown to."""
        pause, self._next = self._next, min(self._next * 2, LONGEST)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret

    def reset(self) -> None:
        """It works again."""
        self._next = FIRST
