"""What may be a handler, as types: async or sync, with a context or without, a function or a class with ``handle``.

These are protocols and not ``Callable[Concatenate[Context, P], R]`` because the parameter must be *called* ctx: else a
first parameter of type Any would vanish from ``enqueue``.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from streamq.context import BatchContext, Context
from streamq.errors import ConfigError

__all__ = [
    "AsyncBatch",
    "AsyncClass",
    "AsyncContextBatch",
    "AsyncContextClass",
    "AsyncContextFunction",
    "AsyncFunction",
    "CallNext",
    "Middleware",
    "SyncBatch",
    "SyncClass",
    "SyncContextBatch",
    "SyncContextClass",
    "SyncContextFunction",
]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

CallNext = Callable[[], Awaitable[Any]]
Middleware = Callable[[Context, CallNext], Awaitable[Any]]


class AsyncContextFunction(Protocol[P, R_co]):
    """``async def f(ctx: Context, …)``."""

    async def __call__(self, ctx: Context, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class AsyncFunction(Protocol[P, R_co]):
    """``async def f(…)``."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class SyncContextFunction(Protocol[P, R_co]):
    """``def f(ctx: Context, …)``."""

    def __call__(self, ctx: Context, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class AsyncContextClass(Protocol[P, R_co]):
    """A class with ``async def handle(self, ctx: Context, …)``."""

    async def handle(self, ctx: Context, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class AsyncClass(Protocol[P, R_co]):
    """A class with ``async def handle(self, …)``."""

    async def handle(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class SyncContextClass(Protocol[P, R_co]):
    """A class with ``def handle(self, ctx: Context, …)``."""

    def handle(self, ctx: Context, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class SyncClass(Protocol[P, R_co]):
    """A class with ``def handle(self, …)``."""

    def handle(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class AsyncContextBatch(Protocol[T, R_co]):
    """``async def f(ctx: BatchContext, items: list[T])``."""

    async def __call__(self, ctx: BatchContext, items: list[T], /) -> R_co: ...


class AsyncBatch(Protocol[T, R_co]):
    """``async def f(items: list[T])``."""

    async def __call__(self, items: list[T], /) -> R_co: ...


class SyncContextBatch(Protocol[T, R_co]):
    """``def f(ctx: BatchContext, items: list[T])``."""

    def __call__(self, ctx: BatchContext, items: list[T], /) -> R_co: ...


class SyncBatch(Protocol[T, R_co]):
    """``def f(items: list[T])``."""

    def __call__(self, items: list[T], /) -> R_co: ...


def check_middleware(layer: Any) -> None:
    """Raise ConfigError for what cannot run around handlers."""
    remedy = "write async def f(ctx, call_next): return await call_next()"
    if not _is_async(layer):
        raise ConfigError(f"middleware {_named(layer)} is no async function: {remedy}")
    try:
        inspect.signature(layer).bind(None, None)
    except TypeError:
        raise ConfigError(f"middleware {_named(layer)} does not take ctx and call_next: {remedy}") from None


def check_outgoing_hook(hook: Any) -> None:
    """Raise ConfigError for what cannot see jobs before they are sent."""
    remedy = "write def f(outgoing): …"
    if not callable(hook) or _is_async(hook):
        raise ConfigError(
            f"before_enqueue {_named(hook)} must be a plain function, because enqueue is one: {remedy}"
        )
    try:
        inspect.signature(hook).bind(None)
    except TypeError:
        raise ConfigError(f"before_enqueue {_named(hook)} does not take the outgoing job: {remedy}") from None


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object may be called as well
    )


def _named(function: Any) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
