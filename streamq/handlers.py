"""What may be a handler, as types: async or sync, with a context or without, a function or a class with ``handle``.

These are protocols and not ``Callable[Concatenate[Context, P], R]`` because the parameter must be *called* ctx: else a
first parameter of type Any would vanish from ``enqueue``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from streamq.context import Context

__all__ = [
    "AsyncClass",
    "AsyncContextClass",
    "AsyncContextFunction",
    "AsyncFunction",
    "CallNext",
    "Middleware",
    "SyncClass",
    "SyncContextClass",
    "SyncContextFunction",
]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

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
