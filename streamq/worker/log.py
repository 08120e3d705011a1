"""How the lines of a worker look: for people, or JSON for machines (``STREAMQ_LOG``). Set up once in each process."""

from __future__ import annotations

import contextlib
import logging
import os

import structlog

from streamq.config import Config
from streamq.logger import Logger
from streamq.worker.sink import Sink, standard_error

__all__ = ["set_up_log"]


def set_up_log(config: Config) -> None:
    """Send structlog's lines to standard error in the form and from the level that the settings name.

    Whatever happens to that, no line raises, and none waits for longer than a moment (see ``sink``).
    """
    for_people = config.log == "text"
    descriptor = standard_error()
    sink = Sink(descriptor, lambda lines: Logger("streamq.worker").warning("log.lines_lost", lines=lines))
    last = (
        structlog.dev.ConsoleRenderer(colors=os.isatty(descriptor))
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
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )
    logging.lastResort = _Unconfigured(logging.WARNING)


class _Unconfigured(logging.Handler):
    """What libraries log, as asyncio of errors that nobody waits for, where the program has not set up ``logging``.

    It becomes lines like the others: Python's own way writes to standard error, and waits there for a reader.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Say it as a warning or an error."""
        with contextlib.suppress(Exception):
            log = Logger("streamq.worker")
            say = log.error if record.levelno >= logging.ERROR else log.warning
            say(record.getMessage(), logger=record.name, exc_info=record.exc_info)
