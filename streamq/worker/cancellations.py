"""Cancellations that did not come from the worker: code of one job that cancels the asyncio task of another.

Who cancelled is not to be seen. So such a job runs again without an attempt, but only once in this process: one that
cancels itself fails from the second time on.
"""

from __future__ import annotations

import asyncio

from streamq.worker.seat import Runner

__all__ = ["Cancellations"]

REMEMBERED = 10_000  # jobs whose tasks others than the worker cancelled


class Cancellations:
    """Those of one bench."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}  # jobs, oldest first

    def is_strange(self, runner: Runner, error: BaseException) -> bool:
        """Whether the handler ended because others cancelled its task, for the first time."""
        is_asked = runner.stop is not None or runner.warned or not runner.task.cancelling()
        if not isinstance(error, asyncio.CancelledError) or is_asked:
            return False
        if runner.plan is None or runner.id in self._known:
            return False
        self._known[runner.id] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return True
