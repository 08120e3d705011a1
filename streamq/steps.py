"""Steps, cursors, signals and sleeps of a running job: awaited (``ctx.step``), and blocking (``ctx.sync.step``)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import islice
from time import monotonic
from typing import Any, ParamSpec, TypeVar, cast, overload

from streamq.durations import Duration, seconds
from streamq.errors import WrongCall
from streamq.journal import REQUIRED, Conversation, Journal, Move, Own
from streamq.protocol.journal import Ask

__all__ = ["AsyncSteps", "SyncSteps"]

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
D = TypeVar("D")
R = TypeVar("R")

_is_step: ContextVar[bool] = ContextVar("is_step", default=False)  # whether the code of a step runs here

Items = Iterable[T] | AsyncIterable[T]


class AsyncSteps:
    """What a Context of a handler on the event loop can do in steps."""

    __slots__ = ()

    @property
    def _journal(self) -> Journal:
        raise NotImplementedError

    @overload
    async def step(
        self, name: str, fn: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def step(self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    async def step(self, name: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run ``fn`` once, however often the job runs: its result is noted under ``name``, and given again after a crash.

        The result comes as it would be read again, converted to ``fn``'s return annotation. A step that raises is not
        noted; one that was cut off by a crash runs again. A plain ``fn`` is called where it stands, so what blocks belongs
        in a sync handler. Steps may run together (``asyncio.gather``). Raises WrongCall for a name that this run has
        used, and for a result that cannot be sent; LimitExceeded above 1,000 entries or 8 MiB a job.
        """
        return await _follow(self._journal, self._journal.step(name, fn, partial(fn, *args, **kwargs)))

    @overload
    def signal(
        self, name: str, kind: type[T], *, timeout: Duration | None = None
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def signal(
        self, name: str, kind: type[T], *, timeout: Duration, default: D
    ) -> Coroutine[Any, Any, T | D]: ...
    def signal(
        self, name: str, kind: Any, *, timeout: Duration | None = None, default: Any = REQUIRED
    ) -> Coroutine[Any, Any, Any]:
        """Wait without a slot until somebody sends the job this signal (``job.signal``); its value as ``kind``.

        The handler is ended here, and runs again from the start when the signal has come, with the steps before it
        replayed. After ``timeout``, counted from the first time, the answer is ``default``; without one SignalTimeout
        is raised, and the job goes to the dead letters unless that is caught. What was answered once stays the answer.
        """
        limit = _limit_ms(timeout, "ctx.signal: timeout")
        journal = _outside_steps(self._journal, "ctx.signal")
        return _follow(journal, journal.signal(name, kind, limit, default))

    async def sleep(self, duration: Duration) -> None:
        """Wait without a slot for a time, counted from the first run that came here, and go on from the start.

        The sleeps of a job are known by their order: the first, the second, and so on.
        """
        journal = _outside_steps(self._journal, "ctx.sleep")
        await _follow(journal, journal.sleep(_ms(duration, "ctx.sleep")))

    @overload
    def cursor(self, name: str, items: Items[T], *, every: int = 100) -> AsyncIterator[T]: ...
    @overload
    def cursor(
        self, name: str, items: Callable[[K | None], Items[T]], *, key: Callable[[T], K], every: int = 100
    ) -> AsyncIterator[T]: ...
    async def cursor(
        self, name: str, items: Any, *, key: Callable[[Any], Any] | None = None, every: int = 100
    ) -> AsyncIterator[Any]:
        """Iterate, and go on there after a crash or a retry.

        Either ``items`` are the same ones in the same order each time: then those that are done are skipped. Or ``items``
        makes them, given the ``key`` of the last one that is done (None at first), as in ``rows_after(7)``. How far it is
        is noted after ``every`` items or a second, before the job waits for something, and at the end. An item counts as
        done when the next one is asked for; those since the last note come again after a crash.
        """
        reading = await _follow(self._journal, self._journal.cursor(name, every))
        if reading.is_over:
            return
        reading.begin(monotonic())
        async for item in _awaited(_rest(name, items, key, reading.last, reading.count)):
            yield item
            passed = reading.passed(key(item) if key else None, monotonic())
            await _follow(self._journal, passed)
        await _follow(self._journal, reading.ended())


class SyncSteps:
    """The same for handlers that are no coroutines: each call waits in the handler's thread."""

    __slots__ = ("_journal",)

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def step(self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn`` once, however often the job runs: see ``Context.step``."""
        run = partial(fn, *args, **kwargs)
        return cast("T", _follow_blocking(self._journal, self._journal.step(name, fn, run)))

    @overload
    def signal(self, name: str, kind: type[T], *, timeout: Duration | None = None) -> T: ...
    @overload
    def signal(self, name: str, kind: type[T], *, timeout: Duration, default: D) -> T | D: ...
    def signal(
        self, name: str, kind: Any, *, timeout: Duration | None = None, default: Any = REQUIRED
    ) -> Any:
        """Wait without a slot until somebody sends the job this signal: see ``Context.signal``."""
        limit = _limit_ms(timeout, "ctx.sync.signal: timeout")
        journal = _outside_steps(self._journal, "ctx.sync.signal")
        return _follow_blocking(journal, journal.signal(name, kind, limit, default))

    def sleep(self, duration: Duration) -> None:
        """Wait without a slot for a time: see ``Context.sleep``."""
        journal = _outside_steps(self._journal, "ctx.sync.sleep")
        _follow_blocking(journal, journal.sleep(_ms(duration, "ctx.sync.sleep")))

    @overload
    def cursor(self, name: str, items: Iterable[T], *, every: int = 100) -> Iterator[T]: ...
    @overload
    def cursor(
        self, name: str, items: Callable[[K | None], Iterable[T]], *, key: Callable[[T], K], every: int = 100
    ) -> Iterator[T]: ...
    def cursor(
        self, name: str, items: Any, *, key: Callable[[Any], Any] | None = None, every: int = 100
    ) -> Iterator[Any]:
        """Iterate, and go on there after a crash or a retry: see ``Context.cursor``."""
        reading = _follow_blocking(self._journal, self._journal.cursor(name, every))
        if reading.is_over:
            return
        reading.begin(monotonic())
        for item in _rest(name, items, key, reading.last, reading.count):
            yield item
            passed = reading.passed(key(item) if key else None, monotonic())
            _follow_blocking(self._journal, passed)
        _follow_blocking(self._journal, reading.ended())


async def _follow(journal: Journal, conversation: Conversation[R]) -> R:
    with closing(conversation):
        is_over, move = _advance(conversation, None)
        while not is_over:
            is_over, move = _advance(conversation, await _done(journal, move))
        return cast("R", move)


def _follow_blocking(journal: Journal, conversation: Conversation[R]) -> R:
    with closing(conversation):
        is_over, move = _advance(conversation, None)
        while not is_over:
            is_over, move = _advance(conversation, _done_blocking(journal, move))
        return cast("R", move)


def _advance(conversation: Conversation[Any], answer: Any) -> tuple[bool, Any]:
    """Whether it is over, and what it wants next, or its value. Apart, so that no StopIteration of a step looks like its end."""
    try:
        return False, conversation.send(answer)
    except StopIteration as stop:
        return True, stop.value


async def _done(journal: Journal, move: Move) -> Any:
    match move:
        case Own():
            with _inside_a_step():
                result = move.run()
                return await result if inspect.isawaitable(result) else result
        case Ask():
            return await journal.desk.carry(move)
    while journal.under_way:
        quiet = asyncio.get_running_loop().create_future()
        journal.on_quiet.append(partial(_resolve, quiet))
        await quiet
    return None


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@contextmanager
def _inside_a_step() -> Iterator[None]:
    token = _is_step.set(True)
    try:
        yield
    finally:
        _is_step.reset(token)


def _outside_steps(journal: Journal, what: str) -> Journal:
    """The journal, for what would end the handler. Raises WrongCall inside a step, which it would cut off."""
    if _is_step.get():
        raise WrongCall(
            f"{what} stands inside a step, which would be cut off and run again: wait between steps"
        )
    return journal


def _done_blocking(journal: Journal, move: Move) -> Any:
    match move:
        case Own():
            return _run_blocking(move)
        case Ask():
            return journal.desk.carry_blocking(move)
    return None  # a handler in a thread does one thing after the other


def _run_blocking(own: Own) -> Any:
    with _inside_a_step():
        result = own.run()
    if inspect.iscoroutine(result):
        result.close()
        raise WrongCall(
            "ctx.sync.step: a coroutine can only be awaited; make the handler async, and await ctx.step"
        )
    return result


def _rest(name: str, items: Any, key: Any, last: Any, count: int) -> Any:
    """The items that are not done."""
    if (key is not None) != callable(items):
        raise WrongCall(
            f"ctx.cursor('{name}'): give either items that are the same each time, or a function that makes those "
            "behind the last one, together with key="
        )
    if key is not None:
        return items(last)
    return _skipped(items, count) if isinstance(items, AsyncIterable) else islice(items, count, None)


async def _skipped(items: AsyncIterable[T], count: int) -> AsyncIterator[T]:
    async for item in items:
        if count > 0:
            count -= 1
        else:
            yield item


async def _awaited(items: Items[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _ms(duration: Duration, name: str) -> int:
    return round(seconds(duration, name) * 1000)


def _limit_ms(timeout: Duration | None, name: str) -> int | None:
    return None if timeout is None else _ms(timeout, name)
