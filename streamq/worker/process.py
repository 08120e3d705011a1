"""A worker's child process: forked from the supervisor, it runs one ``Worker`` until that ends or a signal says so.

TERM: take nothing more, finish what runs, leave; a second TERM: leave now and hand back. USR1, USR2: pause, go on. INT is
left to the supervisor, because a terminal sends it to the whole group. The exit code says whether another should follow;
it counts when the page says the same, because a handler may end its process with any code.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from streamq.errors import ConfigError, StreamqError
from streamq.library import library
from streamq.logger import Logger
from streamq.worker.mortality import die_with_parent
from streamq.worker.page import Page
from streamq.worker.sink import flush_streams
from streamq.worker.worker import Reason, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamq.app import App

__all__ = ["HELD", "Exit", "be_worker", "preload"]

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # what the worker hears
DEAF_TO = (signal.SIGINT, signal.SIGHUP)
HELD = (*SIGNALS, *DEAF_TO)  # blocked from before the fork until they mean the worker


class Exit(IntEnum):
    """Exit codes with which a worker process ends itself."""

    STOPPED = 0
    FAILED = 1  # it could not start, or has a bug
    MISCONFIGURED = 2  # a setting cannot be used: another would end the same way
    WORN = 75  # it has done its share: another should follow
    EMPTY = 76  # there was nothing to do


_BY_REASON = {Reason.STOPPED: Exit.STOPPED, Reason.WORN: Exit.WORN, Reason.EMPTY: Exit.EMPTY}


def be_worker(app: App, make: Callable[[Page], Worker], page: Page, supervisor: int) -> None:
    """The life of the child; does not return. ``supervisor``: the process that forked it."""
    code, me = Exit.FAILED, os.getpid()
    try:
        die_with_parent(supervisor)
        _reset_signals()
        code = _BY_REASON[_run(app, lambda: make(page))]
    except ConfigError as error:
        code = Exit.MISCONFIGURED
        Logger("streamq.worker").error("worker.misconfigured", error=str(error))
    except StreamqError as error:
        Logger("streamq.worker").error("worker.cannot_start", error=str(error))
    except BaseException:
        Logger("streamq.worker").exception("worker.failed")
    finally:
        flush_streams()
        if os.getpid() == me:  # a handler may have forked
            page.farewell = code
        os._exit(code)  # a handler that hangs in a thread must not keep it


def preload(app: App) -> None:
    """Make in the supervisor what every child will need: then its memory is shared."""
    import streamq.engines.async_redis
    import streamq.engines.link

    _loop_factory()
    _ = library().source, app.payloads
    for task in app.tasks.values():
        _ = task.convert, task.fitting, task.returns, task.hooks
    if "schedules" in vars(app):
        import streamq.ticks.ticking  # noqa: F401


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (*SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for number in DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DEAF_TO)


def _run(app: App, make: Callable[[], Worker]) -> str:
    """The loop is not closed: that would wait for a handler that swallows its cancellation."""
    loop = _loop_factory()()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(_tell_of_stray)
    return loop.run_until_complete(_work(app, make))


def _tell_of_stray(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An error that nobody waits for is told to the program's log, which may fail: that does not end the loop."""
    with contextlib.suppress(Exception):
        loop.default_exception_handler(context)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _work(app: App, make: Callable[[], Worker]) -> str:
    worker, loop = make(), asyncio.get_running_loop()
    asked = False

    def terminate() -> None:
        nonlocal asked
        worker.stop(now=asked)
        asked = True

    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGUSR1, worker.pause, True)
    loop.add_signal_handler(signal.SIGUSR2, worker.pause, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    async with app:
        return await worker.run()
