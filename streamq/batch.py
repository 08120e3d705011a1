"""Batches: tasks whose handler takes a list, each item of which was put in as a job of its own.

``@app.batch(size=100, wait=0.2, by="tenant")`` makes one. To its callers it is a task of one argument: ``enqueue(item)``
gives a Job with the result of that item. What is declared is checked here: the handler takes ``list[Item]`` and returns
a list as long, whose elements are results or exceptions, or None for "all completed".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from inspect import Parameter, iscoroutinefunction, signature
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    Union,
    Unpack,
    cast,
    get_args,
    get_origin,
    is_typeddict,
    overload,
)

from streamq.context import BatchContext
from streamq.durations import Duration, seconds
from streamq.errors import BadPayload, ConfigError
from streamq.handlers import AsyncBatch, AsyncContextBatch, SyncBatch, SyncContextBatch
from streamq.options import CallWords, TaskOptions
from streamq.outcomes import Dead, Outcome, RateLimited, Retry, Snooze
from streamq.signature import Signature, declared_signature, generate, nearest
from streamq.task import Task, check_function, named
from streamq.wire.convert import hints_of

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["SIZE_MAX", "Batch", "BatchDecorator", "BatchTask", "By", "Results", "batch_task"]

T = TypeVar("T")
R = TypeVar("R")

SIZE_MAX = 500  # items; what one call to the server brings at most
WAIT_MAX = 60.0  # seconds
ITEM = "item"  # what the one argument is called
By = str | Callable[[Any], Hashable]
# All exceptions, and once more those that are written most: a type checker takes what it finds word by word out of R.
Results: TypeAlias = Sequence[R | Retry | Snooze | RateLimited | Dead | Outcome | Exception | BaseException]

_SCALARS = (str, bytes, int, float, bool, list, tuple, set, frozenset, NoneType)


@dataclass(frozen=True, slots=True)
class Batch:
    """Up to ``size`` items run together, at most ``wait`` seconds after the first came; only those of one ``by``."""

    size: int
    wait: float
    by: By | None

    @classmethod
    def of(cls, size: Any, wait: Duration, by: Any) -> Self:
        """From what was written. Raises ConfigError."""
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= SIZE_MAX:
            raise ConfigError(f"size={size!r}: a batch has 1 to {SIZE_MAX} items")
        if (longest := seconds(wait, "wait")) > WAIT_MAX:
            raise ConfigError(
                f"wait={wait!r}: a batch waits for company for {WAIT_MAX:g} s at most; "
                "for longer, put the items in with using(at=…)"
            )
        if by is not None and not isinstance(by, str) and (not callable(by) or iscoroutinefunction(by)):
            raise ConfigError(
                f'by={by!r}: name a field of the item, as in by="tenant", or give a plain function of it'
            )
        return cls(size, longest, by)

    def key_of(self, item: Any) -> Hashable:
        """What the items of a group have in common; None without ``by``.

        Raises BadPayload for an item without that field, and TypeError for a value that cannot be compared.
        """
        if self.by is None:
            return None
        if not isinstance(self.by, str):
            return self.by(item)
        try:
            return cast("Hashable", item[self.by] if isinstance(item, Mapping) else getattr(item, self.by))
        except (KeyError, AttributeError):
            raise BadPayload(f"an item has no '{self.by}', by which this batch is grouped") from None


class BatchTask(Task[[T], R]):
    """A task of one item, whose handler takes many. ``batch``: how they are grouped."""

    def __init__(
        self, app: App, fn: Callable[..., Any], options: TaskOptions, signature: Signature, batch: Batch
    ) -> None:
        one = _one_item(options.name, fn, signature)
        _check_by(options.name, batch.by, one.__annotations__[ITEM])
        super().__init__(app, fn, options, _of_one(signature))
        self.batch, self._one = batch, one

    @property
    def typed(self) -> Callable[..., Any]:
        """A function of one item."""
        return self._one

    def using(self, **options: Unpack[CallWords]) -> Task[[T], R]:
        """The same task with these options for the calls made from it. Raises ConfigError for what cannot be used."""
        for word in ("timeout", "soft_timeout"):
            if word in options:
                raise ConfigError(
                    f"batch {self.name}: {word} cannot be of one call, because its item runs with others; "
                    f"say @app.batch({word}=…)"
                )
        return super().using(**options)


class AsyncBatchTask(BatchTask[T, R]):
    """A batch of an async function; calling it gives a coroutine."""

    def __call__(self, items: list[T]) -> Coroutine[Any, Any, Results[R] | None]:
        return cast("Coroutine[Any, Any, Results[R] | None]", self.fn(items))


class SyncBatchTask(BatchTask[T, R]):
    """A batch of a plain function."""

    def __call__(self, items: list[T]) -> Results[R] | None:
        return cast("Results[R] | None", self.fn(items))


class AsyncContextBatchTask(BatchTask[T, R]):
    """A batch of an async function whose first parameter is ``ctx``."""

    def __call__(self, ctx: BatchContext, items: list[T]) -> Coroutine[Any, Any, Results[R] | None]:
        return cast("Coroutine[Any, Any, Results[R] | None]", self.fn(ctx, items))


class SyncContextBatchTask(BatchTask[T, R]):
    """A batch of a plain function whose first parameter is ``ctx``."""

    def __call__(self, ctx: BatchContext, items: list[T]) -> Results[R] | None:
        return cast("Results[R] | None", self.fn(ctx, items))


class BatchDecorator(Protocol):
    """What ``@app.batch(…)`` gives: it makes a task of one item of a function of many."""

    @overload
    def __call__(self, fn: AsyncBatch[T, None], /) -> AsyncBatchTask[T, None]: ...
    @overload
    def __call__(self, fn: AsyncBatch[T, Results[R]], /) -> AsyncBatchTask[T, R]: ...
    @overload
    def __call__(self, fn: AsyncContextBatch[T, None], /) -> AsyncContextBatchTask[T, None]: ...
    @overload
    def __call__(self, fn: AsyncContextBatch[T, Results[R]], /) -> AsyncContextBatchTask[T, R]: ...
    @overload
    def __call__(self, fn: SyncBatch[T, None], /) -> SyncBatchTask[T, None]: ...
    @overload
    def __call__(self, fn: SyncBatch[T, Results[R]], /) -> SyncBatchTask[T, R]: ...
    @overload
    def __call__(self, fn: SyncContextBatch[T, None], /) -> SyncContextBatchTask[T, None]: ...
    @overload
    def __call__(self, fn: SyncContextBatch[T, Results[R]], /) -> SyncContextBatchTask[T, R]: ...


def batch_task(app: App, fn: Any, options: TaskOptions, batch: Batch) -> BatchTask[Any, Any]:
    """A batch of a function. Raises ConfigError for what cannot be one."""
    check_function(fn)
    options = named(options, fn, fn)
    if options.isolate:
        raise ConfigError(f"batch {options.name}: isolate=True gives each job a process; a batch has many")
    signature = declared_signature(fn, options.name)
    if iscoroutinefunction(fn):
        kind: type[BatchTask[Any, Any]] = AsyncContextBatchTask if signature.wants_context else AsyncBatchTask
    else:
        kind = SyncContextBatchTask if signature.wants_context else SyncBatchTask
    return kind(app, fn, options, signature, batch)


def _of_one(signature: Signature) -> Signature:
    """What callers give: one item."""
    parameters = (Parameter(ITEM, Parameter.POSITIONAL_OR_KEYWORD),)
    check, bind = generate(parameters, "None"), generate(parameters, "locals()")
    return replace(signature, parameters=parameters, names=(ITEM,), check=check, bind=bind)


def _one_item(task: str, fn: Callable[..., Any], signature: Signature) -> Callable[..., Any]:
    """A function of one item, annotated as the handler's list and result say."""

    def one(item: Any) -> Any:
        raise NotImplementedError

    hints = hints_of(fn)
    one.__name__ = task
    one.__annotations__ = {ITEM: _item_kind(task, signature.parameters, hints)}
    if "return" in hints:
        one.__annotations__["return"] = _result_kind(task, hints["return"])
    return one


def _item_kind(task: str, parameters: Sequence[Parameter], hints: Mapping[str, Any]) -> Any:
    """What the list consists of; Any when the annotation cannot be read here."""
    remedy = "write one parameter, as in items: list[Item], and resources behind it"
    if len(parameters) != 1 or parameters[0].kind not in (
        Parameter.POSITIONAL_ONLY,
        Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise ConfigError(f"batch {task}: its handler takes one list of items: {remedy}")
    [items] = parameters
    written = items.annotation
    if written is Parameter.empty:
        raise ConfigError(f"batch {task}: '{items.name}' has no annotation: {remedy}")
    if items.name not in hints and isinstance(written, str) and "[" in written:
        return Any  # of a name that only type checkers import
    kind = hints.get(items.name, written)
    if (get_origin(kind) or kind) not in (list, Sequence):
        raise ConfigError(f"batch {task}: '{items.name}' is {_shown(kind)} and no list: {remedy}")
    return next(iter(get_args(kind)), Any)


def _result_kind(task: str, kind: Any) -> Any:
    """What a caller gets for an item: the elements that are no exceptions."""
    if kind in (None, NoneType):
        return None
    [listed, *others] = [one for one in _alternatives(kind) if one is not NoneType]
    if listed is Any:
        return Any
    if others or (get_origin(listed) or listed) not in (list, Sequence):
        raise ConfigError(
            f"batch {task}: its handler returns {_shown(kind)}; a list as long as that of the items is due, "
            "as in list[str | Outcome], or None"
        )
    element = next(iter(get_args(listed)), Any)
    results = tuple(one for one in _alternatives(element) if not _is_exception(one))
    return Union[results] if results else None  # noqa: UP007 - of a tuple


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_exception(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _check_by(task: str, by: By | None, item: Any) -> None:
    """Raise ConfigError when ``by`` can be seen to be wrong."""
    if callable(by):
        try:
            signature(by).bind(None)
        except TypeError:
            raise ConfigError(
                f"batch {task}: by={by!r} is called with one item, and does not take it"
            ) from None
        except ValueError:  # what is written in C may have no signature
            return
    elif by is not None and (known := _fields_of(item)) is not None and by not in known:
        near = nearest(by, known)
        hint = f"did you mean '{near}'?" if near else f"it has {', '.join(known) or 'none'}"
        raise ConfigError(f"batch {task}: by={by!r} is no field of {_shown(item)}; {hint}")


def _fields_of(kind: Any) -> tuple[str, ...] | None:
    """The names of an item's fields; None when they are not known."""
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    if is_typeddict(kind):
        return tuple(kind.__annotations__)
    if (get_origin(kind) or kind) in _SCALARS:
        return ()
    named_fields = getattr(kind, "__struct_fields__", getattr(kind, "_fields", None))  # msgspec, NamedTuple
    return named_fields if isinstance(named_fields, tuple) else None


def _shown(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) else str(kind).replace("typing.", "")
