"""Strikes, as a worker holds them against the jobs of its queue before these begin: by their task, and by their arguments.

The server knows no arguments, so it is here that they are compared. Nothing is looked at while there is no strike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from streamq.errors import StreamqError
from streamq.protocol.consume import RECORD, Row
from streamq.protocol.strikes import Strike, as_text

if TYPE_CHECKING:
    from streamq.worker.plan import Plan

__all__ = ["Strikes", "Struck"]


class Struck(Exception):
    """A strike stops the job. ``strike`` is its id."""

    def __init__(self, strike: str) -> None:
        super().__init__(strike)
        self.strike = strike


class Strikes:
    """Those of one queue, as the server told them last. True when there are any."""

    def __init__(self, plans: Mapping[bytes, Plan]) -> None:
        self._plans = plans
        self._of_task: dict[bytes, list[Strike]] = {}

    def __bool__(self) -> bool:
        return bool(self._of_task)

    def learn(self, strikes: Iterable[Strike]) -> None:
        """These stand, and no others."""
        self._of_task = {}
        for strike in strikes:
            self._of_task.setdefault(strike.task.encode(), []).append(strike)

    def stopping(self, row: Row, now_ms: float) -> str | None:
        """The id of the strike that stops a delivery, or None. What has its payload elsewhere is judged by its task alone."""
        _, task, value = row
        return (
            self.against(value[1], value[2], now_ms) if task == RECORD else self.against(task, value, now_ms)
        )

    def against(self, task: bytes, body: bytes | None, now_ms: float) -> str | None:
        """The id of the strike that stops a job with this payload (None: not at hand), or None."""
        standing = [s for s in self._of_task.get(task, ()) if s.until_ms is None or s.until_ms > now_ms]
        arguments: Mapping[str, Any] | None = None
        for strike in standing:
            if strike.where and arguments is None:
                arguments = self._arguments(task, body)
            if _matches(strike, arguments or {}):
                return strike.id
        return None

    def _arguments(self, task: bytes, body: bytes | None) -> Mapping[str, Any]:
        """By name, defaults included; none when they cannot be read or do not fit, which the run itself will say."""
        plan = self._plans.get(task)
        if plan is None or body is None:
            return {}
        try:
            opened = plan.open(body)
            return plan.bind(*opened.args, **opened.kwargs)
        except (StreamqError, TypeError):
            return {}


def _matches(strike: Strike, arguments: Mapping[str, Any]) -> bool:
    return all(
        name in arguments and as_text(arguments[name]) == value for name, value in strike.where.items()
    )
