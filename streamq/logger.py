"""The loggers of streamq's own lines: structlog's, but what happens to a line is never in the way of the work.

A program configures structlog as it likes, and its log can fail: a full disk, a reader that is gone, a processor with a
bug. None of that may cost a job, a lease or a process, so a line that cannot be written is lost, and nothing else.
"""

from __future__ import annotations

import contextlib
from typing import Any

__all__ = ["Logger"]


class Logger:
    """Says events with fields. ``fields`` are in all of its lines."""

    __slots__ = ("_fields", "_name")

    def __init__(self, name: str, **fields: Any) -> None:
        self._name, self._fields = name, fields

    def debug(self, event: str, **fields: Any) -> None:
        """For those who look for a fault."""
        self._say("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happens in the normal course of things."""
        self._say("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What streamq gets over by itself."""
        self._say("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """What somebody should look at."""
        self._say("error", event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error, with the traceback of the exception that is being handled."""
        self._say("exception", event, fields)

    def _say(self, level: str, event: str, fields: dict[str, Any]) -> None:
        with contextlib.suppress(Exception):
            import structlog  # only who says something pays for it

            getattr(structlog.get_logger(self._name, **self._fields), level)(event, **fields)
