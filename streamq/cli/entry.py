"""The edge of the command line: runs one command and turns what it raises into one line and an exit code.

0 is success, 1 a failure, 2 wrong usage, 130 an interrupt. A traceback is shown with ``--debug`` only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from streamq.cli.root import root
from streamq.cli.session import Session
from streamq.errors import ConfigError, StreamqError, UnknownTask, WrongCall

__all__ = ["main"]

_WRONG_USAGE = (ConfigError, WrongCall, UnknownTask)
_FAILED, _MISUSED, _INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave the process with its exit code. ``arguments``: those of the process by default."""
    session = Session()
    try:
        sys.exit(_run(arguments, session))
    finally:
        session.close()


def _run(arguments: Sequence[str] | None, session: Session) -> int:
    try:
        status = root.main(arguments, prog_name="streamq", obj=session, standalone_mode=False)
        if sys.stdout is not None:  # closed before it began
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        if session.debug:
            raise
        return _told(error)
    return status if isinstance(status, int) else 0


def _told(error: Exception) -> int:
    """Say in one line what went wrong; the exit code."""
    if isinstance(error, StreamqError):
        text = " ".join(str(error).split("\n"))
    else:
        text = f"{type(error).__name__}: {error} (this should not happen; --debug shows where)"
    click.echo(f"streamq: {text}", err=True)
    return _MISUSED if isinstance(error, _WRONG_USAGE) else _FAILED
