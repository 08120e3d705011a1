"""The worker's check of numbers and texts: what fits is passed on as it is, what does not is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streamq.errors import BadPayload
from streamq.fitting import Fitting, fitting_of
from streamq.signature import declared_signature


def of(fn: Callable[..., Any]) -> Fitting | None:
    return fitting_of("task", fn, declared_signature(fn, "task").parameters)


def passed(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """What the handler would get."""
    fitting = of(fn)
    assert fitting is not None
    given = list(args)
    return (given, kwargs) if fitting.fits(*given, **kwargs) else fitting.mend(given, kwargs)


def total(
    left: int,
    right: int | None,
    /,
    scale: float = 1.0,
    *,
    name: str = None,  # type: ignore[assignment]  # noqa: RUF013
    raw: bytes = b"",
    free: Any = 0,
) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2), {}),
        ((1, None), {}),
        ((True, -(2**70)), {"scale": 3}),
        ((1, 2, 0.5), {"name": None, "raw": b"x", "free": "anything"}),
        ((1, 2), {"name": "n", "scale": True}),
    ],
)
def test_what_fits_stays_what_it_is(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    given = passed(total, *args, **kwargs)
    assert repr(given) == repr((list(args), kwargs))


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        (("1", 2), {}, "task: argument 'left' does not fit int"),
        ((1, "2"), {}, "argument 'right' does not fit int | None"),
        ((None, 2), {}, "argument 'left'"),
        ((1.5, 2), {}, "argument 'left'"),
        ((1, 2, "x"), {}, "argument 'scale' does not fit float"),
        ((1, 2), {"name": 5}, "argument 'name' does not fit str"),
        ((1, [2]), {"name": 5}, "argument 'right'"),
        ((1, 2), {"raw": "no base64!"}, "argument 'raw' does not fit bytes"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(
    args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadPayload) as refusal:
        passed(total, *args, **kwargs)
    assert words in str(refusal.value)


def test_bytes_in_json_are_base64() -> None:
    assert passed(total, 1, 2, raw="aGk=") == ([1, 2], {"raw": b"hi"})


def test_the_wrong_number_of_arguments_is_said_like_that_of_a_call() -> None:
    with pytest.raises(TypeError, match=r"task\(\) missing 1 required positional argument: 'right'"):
        passed(total, 1)


def test_names_of_parameters_may_be_those_of_types() -> None:
    def odd(int: int, type: str, default_type: float = 1.0) -> None: ...

    assert passed(odd, 1, "x") == ([1, "x"], {})
    with pytest.raises(BadPayload, match="argument 'type'"):
        passed(odd, 1, 2)


def test_who_names_no_scalar_pays_nothing() -> None:
    def free(a, b: list[int], c: object, *more: int, d: Any = None, **others: str) -> None: ...  # type: ignore[no-untyped-def]

    assert of(free) is None
