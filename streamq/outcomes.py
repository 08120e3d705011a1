"""What a handler may raise to say how its run ends. Anything else that it raises is a failure.

``Retry`` and a failure spend an attempt, ``Snooze`` and ``RateLimited`` do not, ``Dead`` ends the job at once.
``Cancelled``, which ends it as cancelled, is in ``errors``.
"""

from __future__ import annotations

from streamq.durations import Duration, seconds

__all__ = ["Dead", "Outcome", "RateLimited", "Retry", "Snooze"]


class Outcome(Exception):
    """Base of what a handler raises on purpose."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class Retry(Outcome):
    """Run again, after ``delay`` or else the task's backoff. An attempt is spent; after the last one the job is dead."""

    def __init__(self, delay: Duration | None = None, *, reason: str = "") -> None:
        super().__init__(reason)
        self.delay: float | None = None if delay is None else seconds(delay, "Retry")


class Snooze(Outcome):
    """Run again after ``delay``. No attempt is spent."""

    def __init__(self, delay: Duration, *, reason: str = "") -> None:
        super().__init__(reason)
        self.delay: float = seconds(delay, "Snooze")


class RateLimited(Outcome):
    """The other side said: later. One limit of the job lets nothing pass for ``delay``, and the job keeps its place there.

    No attempt is spent, and no worker waits. ``limit`` names it, as in ``Limit("openai", …)``; by default it is the widest of the
    job's own. A job without limits is snoozed.
    """

    def __init__(self, delay: Duration, *, limit: str | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.delay: float = seconds(delay, "RateLimited")
        self.limit = limit


class Dead(Outcome):
    """Give up now, and say why: the job goes to the dead letters without another attempt."""
