"""How the lines of a worker look: for people, or JSON for machines (``STREAMQ_LOG``). Set up once in each process."""

from __future__ import annotations

import logging
import sys

import structlog

from streamq.config import Config

__all__ = ["set_up_log"]


def set_up_log(config: Config) -> None:
    """Send structlog's lines to standard error in the form and from the level that the settings name.

    A line and its end are one write: the processes of a worker share the file, also where Python buffers nothing.
    """
    for_people = config.log == "text"
    last = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if for_people
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=not for_people),
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(config.log_level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
