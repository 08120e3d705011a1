"""What a task takes, and how a wrong call is refused before anything is sent."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from typing import Any

import pytest

from streamq.errors import ConfigError, WrongCall
from streamq.resources import Resource, resource, resource_of
from streamq.signature import Signature, declared_signature


async def pool() -> AsyncIterator[int]:
    yield 1


POOL: Resource[int] = resource_of(pool)


def send_email(to: str, *, template: str = "welcome") -> None: ...


def signature_of(fn: Callable[..., Any]) -> Signature:
    return declared_signature(fn, fn.__name__)


def refusal(fn: Callable[..., Any], *args: object, **kwargs: object) -> str:
    """The text of the WrongCall for a call that its check refuses."""
    signature = signature_of(fn)
    with pytest.raises(TypeError) as caught:
        signature.check(*args, **kwargs)
    error = signature.wrong_call(fn.__name__, caught.value, kwargs, ("delay", "priority"))
    assert isinstance(error, WrongCall)
    return str(error)


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), (("a", "b"), {}), (("a",), {"templat": 1}), ((), {"template": "x"})]
)
def test_a_call_that_the_function_would_refuse_is_refused(
    args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    with pytest.raises(TypeError):
        send_email(*args, **kwargs)
    with pytest.raises(TypeError):
        signature_of(send_email).check(*args, **kwargs)


def test_a_refusal_names_the_task_the_nearest_argument_and_what_it_takes() -> None:
    said = refusal(send_email, "a", templat="x")
    assert said.startswith("send_email() got an unexpected keyword argument 'templat'.")
    assert "Did you mean 'template'?" in said
    assert "It takes (to, *, template='welcome')." in said


def test_an_option_among_the_arguments_is_told_where_it_belongs() -> None:
    assert "'delay' is an option: use .using(delay=…)" in refusal(send_email, "a", delay=5)


def test_a_resource_and_the_context_are_no_arguments() -> None:
    async def sync_user(ctx: object, id: int, db: int = resource(POOL)) -> None: ...

    signature = signature_of(sync_user)
    assert signature.wants_context
    assert signature.resources == {"db": POOL}
    assert signature.names == ("id",)
    signature.check(7)
    assert "'db' is filled in by the worker" in refusal(sync_user, 7, db=1)
    assert "'ctx' is filled in by the worker" in refusal(sync_user, 7, ctx=1)
    assert "positional argument" in refusal(sync_user, 7, 8)


def test_arguments_are_known_by_name_with_their_defaults() -> None:
    def shapes(a: int, /, b: int = 2, *rest: int, c: int = 3, **more: int) -> None: ...

    bound = signature_of(shapes).bind(1, 5, 6, d=4)
    assert bound == {"a": 1, "b": 5, "rest": (6,), "c": 3, "more": {"d": 4}}
    assert signature_of(shapes).bind(9)["b"] == 2


def test_a_default_value_of_any_kind_is_kept_as_it_is() -> None:
    marker = object()

    def odd(value: object = marker, *, other: object = None) -> None: ...

    assert signature_of(odd).bind()["value"] is marker


def test_annotations_are_never_evaluated() -> None:
    def later(a: "NotImported", b: "also.missing" = 1) -> "Nowhere": ...  # type: ignore[name-defined]  # noqa: F821

    signature_of(later).check(1, b=2)


def test_a_wrapped_function_is_checked_by_what_it_wraps() -> None:
    def timed(fn: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(fn)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return fn(*args, **kwargs)

        return inner

    assert "Did you mean 'template'?" in refusal(timed(send_email), "a", templat="x")


def test_a_method_is_read_without_self() -> None:
    class Handler:
        def handle(self, ctx: object, path: str) -> None: ...

    signature = declared_signature(Handler.handle, "Handler", method=True)
    assert signature.wants_context
    assert signature.names == ("path",)


def test_a_context_that_is_not_first_is_refused() -> None:
    def late(a: int, ctx: object) -> None: ...

    with pytest.raises(ConfigError, match="'ctx' must be the first parameter"):
        signature_of(late)


def test_a_resource_in_front_of_an_argument_is_refused() -> None:
    def ambiguous(a: int, db: int = resource(POOL), b: int = 1) -> None: ...

    with pytest.raises(ConfigError, match="'db' stands before 'b'"):
        signature_of(ambiguous)


def test_a_provider_that_does_not_yield_or_wants_arguments_is_refused() -> None:
    def plain() -> int:
        return 1

    def wants(url: str) -> Iterator[int]:
        yield 1

    with pytest.raises(ConfigError, match="does not yield"):
        resource_of(plain)
    with pytest.raises(ConfigError, match="nobody gives it 'url'"):
        resource_of(wants)
    with pytest.raises(ConfigError, match="decorate the provider"):
        resource(pool)  # type: ignore[arg-type]
