"""What handlers are given besides their arguments: pools, clients, models, made once in each worker process.

A provider is a generator function that yields one value; what stands behind the ``yield`` runs when the process ends.
It may need other resources itself. A resource is a parameter's default: ``db: Pool = resource(pool)``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from inspect import isasyncgenfunction, isgeneratorfunction, signature
from typing import Any, Generic, Self, TypeVar, cast

from streamq.errors import ConfigError

__all__ = ["Container", "Lifespan", "Needed", "Resource", "lifespan_of", "resource", "resource_of"]

T = TypeVar("T")
Lifespan = Callable[[], AsyncIterator[None]] | Callable[[], Iterator[None]]


@dataclass(frozen=True, slots=True, eq=False)
class Resource(Generic[T]):
    """What ``@app.resource`` makes of a provider. ``needs``: the provider's own resources, by parameter."""

    name: str
    provider: Callable[..., Any]
    is_async: bool
    needs: Mapping[str, Resource[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Needed:
    """What ``resource(...)`` leaves as the default of a parameter that the worker fills in."""

    provider: Resource[Any]


def resource(provider: Resource[T], /) -> T:
    """The default of a parameter that the worker fills in, typed as what the provider yields.

    It is no argument of the job: passing it to ``enqueue`` is a WrongCall.
    """
    if not isinstance(provider, Resource):
        raise ConfigError(f"resource({provider!r}): not a resource; decorate the provider with @app.resource")
    return cast("T", Needed(provider))


def resource_of(provider: Callable[..., Any]) -> Resource[Any]:
    """Declare a provider. Raises ConfigError when it does not yield, or has parameters that are no resources."""
    is_async = _yields_async(provider, "resource")
    parameters = signature(provider).parameters.values()
    unfilled = [parameter.name for parameter in parameters if not isinstance(parameter.default, Needed)]
    if unfilled:
        raise ConfigError(
            f"resource {provider.__qualname__}: nobody gives it '{unfilled[0]}'; write {unfilled[0]} = resource(…)"
        )
    needs = {parameter.name: parameter.default.provider for parameter in parameters}
    return Resource(provider.__qualname__, provider, is_async, needs)


def lifespan_of(fn: Callable[[], Any]) -> Resource[None]:
    """Declare what runs around a worker process: a resource that nobody asks for."""
    if signature(fn).parameters:
        raise ConfigError(f"lifespan {fn.__qualname__}: it is called without arguments")
    return Resource(fn.__qualname__, fn, _yields_async(fn, "lifespan"))


def _yields_async(provider: Callable[..., Any], what: str) -> bool:
    if isasyncgenfunction(provider):
        return True
    if isgeneratorfunction(provider):
        return False
    raise ConfigError(f"{what} {provider!r} does not yield; write a generator function with one yield")


class Container:
    """The resources of one worker process: opened at its start in order of need, closed at its end in reverse.

    Use it as an async context manager. Nothing is opened twice.
    """

    def __init__(self, wanted: Iterable[Resource[Any]]) -> None:
        self._wanted = tuple(wanted)
        self._made: dict[Resource[Any], Any] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            for wanted in self._wanted:
                await self._open(wanted)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        self._made.clear()

    def fill(self, resources: Mapping[str, Resource[Any]]) -> dict[str, Any]:
        """The values for a task's parameters."""
        return {name: self._made[needed] for name, needed in resources.items()}

    async def _open(self, wanted: Resource[Any]) -> None:
        if wanted in self._made:
            return
        for needed in wanted.needs.values():
            await self._open(needed)
        arguments = self.fill(wanted.needs)
        if wanted.is_async:
            made = await self._stack.enter_async_context(asynccontextmanager(wanted.provider)(**arguments))
        else:
            made = self._stack.enter_context(contextmanager(wanted.provider)(**arguments))
        self._made[wanted] = made
