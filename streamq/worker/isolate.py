"""Handlers in a process of their own, which can be killed: for code that hangs, leaks or crashes.

A *nursery* is forked from the worker process before that has threads or connections: it knows the app and does nothing
but fork again, once for each job. The job's process runs the handler in its main thread, judges what it raises, and
answers over a socket pair in frames of msgpack. Whoever stops waiting for it kills it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from streamq.context import current_job
from streamq.errors import SoftTimeout, StreamqError
from streamq.worker.distant import reply_to
from streamq.worker.endings import Judged
from streamq.worker.errand import Answer, Errand, StandIn
from streamq.worker.frames import read_frame, send_frame
from streamq.worker.mortality import die_with_parent
from streamq.worker.plan import NO_OPTIONS, Plan, direct, is_misfit, was_entered
from streamq.worker.seat import FOREVER, Seat
from streamq.worker.soft import Softly, soft_text
from streamq.worker.verdict import Attempt, Stop, Verdict, fault_of, judge

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["Isolation", "ProcessDied"]


class ProcessDied(StreamqError):
    """The process of an isolated job ended without an answer: it crashed, or something killed it."""


class Isolation:
    """The nursery of one worker process, as seen from there.

    ``is_lost``: it died, as when the system chose it to free memory. Another can only be forked by another worker
    process, which has no threads yet.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._nursery: socket.socket | None = None
        self._pid = 0
        self.is_lost = False

    def open(self) -> None:
        """Fork the nursery, when a task wants to be isolated."""
        if not any(task.options.isolate for task in self._app.tasks.values()):
            return
        ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            _be_nursery(self._app, theirs)
        theirs.close()
        self._nursery = ours

    def close(self) -> None:
        """End the nursery; the processes of jobs end with it."""
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)

    async def run(self, seat: Seat, plan: Plan, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run a handler in a new process; its result. Raises Judged and ProcessDied."""
        reader, writer = await asyncio.open_connection(sock=self._new_process())
        pid, has_begun = None, False
        desk = seat.outside.open_desk(seat)
        try:
            send_frame(writer, _errand(seat, plan, args, kwargs))
            while True:
                answer = await read_frame(reader, Answer)
                pid, has_begun = answer.pid or pid, True
                if answer.told:
                    seat.outside.tell(seat, answer.told)
                if answer.asked:
                    send_frame(writer, await reply_to(answer.asked, desk))
                if answer.is_last:
                    pid = None
                    return _read(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pid = None
            if not has_begun and self._has_died():
                raise Judged(_HANDED_BACK) from None
            raise ProcessDied(
                "the job's process ended without an answer: it crashed, or something killed it"
            ) from None
        finally:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            writer.close()

    def _new_process(self) -> socket.socket:
        """The connection to a process that the nursery forks. Raises Judged when there is no nursery."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                if self._nursery is not None:
                    socket.send_fds(self._nursery, [b"+"], [theirs.fileno()])
                    return ours
            except OSError:
                self.is_lost = True
        ours.close()
        raise Judged(_HANDED_BACK)

    def _has_died(self) -> bool:
        """Whether the nursery is dead: it says nothing while it lives, and its end is closed when it dies."""
        try:
            if self._nursery is not None:
                self.is_lost = self._nursery.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            self.is_lost = False
        except OSError:
            self.is_lost = True
        return self.is_lost


_HANDED_BACK = Verdict("release")


def _errand(seat: Seat, plan: Plan, args: list[Any], kwargs: dict[str, Any]) -> Errand:
    context, attempt = seat.open_context(), seat.described()
    soft = None if seat.soft == FOREVER else seat.soft - seat.started
    return Errand(
        plan.name,
        args,
        kwargs,
        context.id,
        plan.queue,
        context.attempt,
        attempt.age,
        context.fence,
        context.enqueued_ms,
        context.deadline_ms,
        soft,
        None if seat.limit == FOREVER else seat.limit,
        dict(seat.carried),
        context.lane,
        context.cost,
    )


def _read(answer: Answer) -> Any:
    if answer.verdict is not None:
        raise Judged(answer.verdict)
    return answer.result


# In the nursery and in the processes of jobs

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def _be_nursery(app: App, requests: socket.socket) -> None:
    die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended children vanish by themselves
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()
    try:
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, 1, 1)
            if not message:
                break
            if _fork() == 0:
                requests.close()
                _be_job(app, socket.socket(fileno=descriptors[0]))
            os.close(descriptors[0])
    finally:
        os._exit(0)


def _fork() -> int:
    """As ``os.fork``; -1 where the system allows no more processes: the job, left without one, fails and is retried."""
    try:
        return os.fork()
    except OSError:
        return -1


def _be_job(app: App, connection: socket.socket) -> None:
    die_with_parent()
    os.setsid()  # Ctrl-C in a terminal is for the worker, which lets its handlers finish
    for number in (*_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(BaseException):
        asyncio.run(_converse(app, connection))
    os._exit(0)


async def _converse(app: App, connection: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=connection)
    errand = await read_frame(reader, Errand)
    loop = asyncio.get_running_loop()

    def say(told: dict[str, Any]) -> None:
        loop.call_soon_threadsafe(send_frame, writer, Answer(told=told))

    send_frame(writer, Answer(pid=os.getpid()))
    await writer.drain()
    stand_in = StandIn(errand, say, app.payloads, (reader, writer))
    last = await _perform(app, errand, stand_in)
    await asyncio.sleep(0)  # what a sync handler has said stands before how it ended
    send_frame(writer, last)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _perform(app: App, errand: Errand, stand_in: StandIn) -> Answer:
    task = app.tasks[errand.task]
    options = task.options.received({k: v for k, v in errand.carried.items() if k not in NO_OPTIONS})
    try:
        async with app.container([task]) as container:
            call = direct(task, container)
            current_job.set(stand_in.open_context())
            result = await _limited(
                errand, stand_in, lambda: call(stand_in, errand.args, errand.kwargs), task.is_async
            )
    except BaseException as error:
        attempt = Attempt(
            errand.attempt,
            errand.age,
            options,
            stop=stand_in.stop,
            misfit=is_misfit(error),
            entered=was_entered(error),
            waits_for=stand_in.waits_for,
            lane=errand.lane,
        )
        return Answer(verdict=judge(error, attempt), is_last=True)
    if stand_in.stop is Stop.WAIT:
        return Answer(verdict=Verdict("wait", waits_for=stand_in.waits_for), is_last=True)
    return _returned(result)


async def _limited(errand: Errand, stand_in: StandIn, call: Callable[[], Any], is_async: bool) -> Any:
    """The handler in the main thread, where an alarm can raise its soft timeout also in sync code."""
    if errand.soft is None:
        return await call() if is_async else call()
    if is_async:
        asyncio.get_running_loop().call_later(errand.soft, stand_in.warn, asyncio.current_task())
        return await Softly(stand_in, call())
    signal.signal(signal.SIGALRM, partial(_alarm, soft_text(stand_in)))
    signal.setitimer(signal.ITIMER_REAL, errand.soft)
    try:
        return call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _alarm(text: str, number: int, frame: object) -> None:
    raise SoftTimeout(text)


def _returned(result: Any) -> Answer:
    answer = Answer(result=result, is_last=True)
    try:
        msgspec.msgpack.encode(answer)
    except Exception as error:
        unsendable = Verdict("dead", reason="its result cannot be sent", fault=fault_of(error))
        return Answer(verdict=unsendable, is_last=True)
    return answer
