"""Waiting for the ends of jobs: workers push their answers to one reply key and thread for each shard and process.

Threads and event loops wait on futures; the thread takes what is pushed and resolves them. It starts with the first who
waits and ends when nobody has waited for a while. After a broken connection it asks again for everything that is
awaited, because an answer may have been lost with the connection.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread

from streamq.errors import ConnectionLost, ResultTimeout, ServerUnavailable
from streamq.protocol import Call, Flow
from streamq.protocol.keys import JobId, reply_key
from streamq.protocol.results import WAITING, Ending, read_push, unwait, wait
from streamq.queue import follow, follow_async
from streamq.sender import Engines

__all__ = ["Replies"]

_LISTEN = 5.0  # seconds of one blocking read; the thread ends after one in which nobody waited
_PAUSE = 0.2  # seconds between attempts while the server is away


class Replies:
    """The jobs of one shard that somebody in this process waits for. Ids are local to the shard."""

    def __init__(self, engines: Engines, anchor: str) -> None:
        self._engines, self._anchor = engines, anchor
        self._key = reply_key(anchor, secrets.token_hex(8))
        self._lock = Lock()
        self._awaited: dict[str, list[Future[Ending]]] = {}
        self._thread: Thread | None = None
        self._closed = False

    def ending(self, where: JobId, timeout: float | None) -> Ending:
        """How the job ended; waits for its end. Raises ResultTimeout after ``timeout`` seconds."""
        job = where.local
        future, ending = self._expect(job), Ending(WAITING, None)
        try:
            ending = self._engines.engine.run(self._wait(job))
            if ending.status == WAITING:
                self._start()
                return future.result(timeout)
        except TimeoutError:
            raise _too_late(where, timeout) from None
        finally:
            if self._leave(job, future) and ending.status == WAITING:
                follow(self._engines.engine, self._unregister(job))
        return ending

    async def aending(self, where: JobId, timeout: float | None) -> Ending:  # noqa: ASYNC109 - as in ending
        """How the job ended; waits for its end. Raises ResultTimeout after ``timeout`` seconds."""
        job = where.local
        future, ending = self._expect(job), Ending(WAITING, None)
        try:
            ending = await self._engines.async_engine.run(self._wait(job))
            if ending.status == WAITING:
                self._start()
                return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
        except TimeoutError:
            raise _too_late(where, timeout) from None
        finally:
            if self._leave(job, future) and ending.status == WAITING:
                await follow_async(self._engines.async_engine, self._unregister(job))
        return ending

    def close(self) -> None:
        """Wait no more: who still does gets a ConnectionLost. The thread ends when its engine is closed, which is next."""
        self._closed = True
        self._fail(ConnectionLost("the app was closed while this result was awaited; ask again"))

    def _wait(self, job: str) -> Call[Ending]:
        return wait(self._anchor, 0, job, self._key)

    def _unregister(self, job: str) -> Flow[None]:
        """Tell the server that nobody here waits any more; whoever began to meanwhile is registered again."""
        yield unwait(self._anchor, 0, job, self._key)
        if job in self._awaited:
            self._resolve(job, (yield self._wait(job)))

    def _expect(self, job: str) -> Future[Ending]:
        """From now on, an answer for the job resolves this future."""
        future: Future[Ending] = Future()
        with self._lock:
            self._awaited.setdefault(job, []).append(future)
        return future

    def _start(self) -> None:
        """Listen, unless the thread does already. What is pushed before is not lost: it stays in the list."""
        with self._lock:
            if self._thread is None:
                self._thread = Thread(
                    target=self._listen, name=f"streamq replies {self._anchor}", daemon=True
                )
                self._thread.start()

    def _leave(self, job: str, future: Future[Ending]) -> bool:
        """Wait no more; True when the job had not answered, and nobody else waits for it."""
        with self._lock:
            futures = self._awaited.get(job, [])
            if future not in futures:
                return False
            futures.remove(future)
            if not futures:
                del self._awaited[job]
            return not futures

    def _listen(self) -> None:
        try:
            while self._goes_on(self._receive()):
                pass
        except Exception as error:
            with self._lock:
                self._thread = None
            self._fail(error)

    def _receive(self) -> bool:
        """One blocking read; whether there was anything."""
        try:
            pushed = self._engines.engine.receive(self._key, _LISTEN)
        except ServerUnavailable:
            self._ask_again()
            return True
        if pushed:
            self._resolve(*read_push(pushed))
        return pushed is not None

    def _goes_on(self, heard: bool) -> bool:
        with self._lock:
            if not self._closed and (heard or self._awaited):
                return True
            self._thread = None
            return False

    def _ask_again(self) -> None:
        time.sleep(_PAUSE)
        for job in [] if self._closed else list(self._awaited):
            with suppress(ServerUnavailable):
                self._resolve(job, self._engines.engine.run(self._wait(job)))

    def _resolve(self, job: str, ending: Ending) -> None:
        """Give an ending to all who wait for the job."""
        if ending.status == WAITING:
            return
        with self._lock:
            futures = self._awaited.pop(job, [])
        for future in futures:
            if future.set_running_or_notify_cancel():
                future.set_result(ending)

    def _fail(self, error: Exception) -> None:
        with self._lock:
            awaited, self._awaited = self._awaited, {}
        for futures in awaited.values():
            for future in futures:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)


def _too_late(where: JobId, timeout: float | None) -> ResultTimeout:
    return ResultTimeout(f"job {where} had not ended after {timeout or 0:g} s. It goes on; ask again")
