"""Conversion: arguments arrive at a handler as its annotations say."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamq.errors import BadPayload
from streamq.wire import Payloads, converter, result_type

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]

PAYLOADS = Payloads("sq")


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 9


@dataclass
class Order:
    id: UUID
    at: datetime
    lines: list[tuple[str, Decimal]]


class Point(NamedTuple):
    x: int
    on: date


class Row(TypedDict):
    day: date


class Item(msgspec.Struct):
    name: str
    color: Color = Color.RED


ORDER = Order(UUID(int=7), datetime(2026, 1, 2, 3, tzinfo=UTC), [("tea", Decimal("1.50"))])


def sent(
    fn: Any, *args: Any, hidden: frozenset[str] = frozenset(), **kwargs: Any
) -> tuple[list[Any], dict[str, Any]]:
    """What reaches ``fn`` when it is enqueued with these arguments."""
    convert = converter(fn, hidden)
    call = PAYLOADS.unpack("q", "t", PAYLOADS.pack("q", "t", args, kwargs))
    assert convert is not None
    return convert(call.args, call.kwargs)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (datetime, datetime(2026, 1, 2, 3, 4, 5, 678)),
        (datetime, datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)),
        (datetime | None, None),
        (date, date(2026, 1, 2)),
        (time, time(1, 2, 3, 4)),
        (timedelta, timedelta(days=-1, microseconds=3)),
        (UUID, UUID(int=2**127 + 5)),
        (Decimal, Decimal("1.500")),
        (set[int], {1, 2}),
        (frozenset[str], frozenset({"a"})),
        (tuple[int, str], (1, "a")),
        (tuple[date, ...], (date(2026, 1, 2),)),
        (dict[int, date], {1: date(2026, 1, 2)}),
        (list[Order], [ORDER]),
        (Order | None, ORDER),
        (Color, Color.RED),
        (Level, Level.HIGH),
        (Point, Point(1, date(2026, 1, 2))),
        (Row, {"day": date(2026, 1, 2)}),
        (Item, Item("tea")),
        (bytearray, bytearray(b"x")),
    ],
    ids=str,
)
def test_a_value_comes_back_as_its_annotation_says(kind: Any, value: Any) -> None:
    def by_place(value): ...
    def by_name(*, value): ...
    def returned(): ...

    by_place.__annotations__ = by_name.__annotations__ = {"value": kind}
    returned.__annotations__ = {"return": kind}
    (place,), _ = sent(by_place, value)
    _, named = sent(by_name, value=value)
    back = PAYLOADS.unpack_result("q", "t", PAYLOADS.pack_result("q", "t", value), result_type(returned))
    for found in (place, named["value"], back):
        assert found == value
        assert type(found) is type(value)


@settings(deadline=None)
@given(st.datetimes(timezones=st.none() | st.just(UTC) | st.builds(timezone, st.just(timedelta(hours=5)))))
def test_every_datetime_is_the_same_instant_afterwards(moment: datetime) -> None:
    def handler(when: datetime) -> None: ...

    if not 1 < moment.year < 9999:
        return
    (when,), _ = sent(handler, moment)
    assert when == moment
    assert (when.tzinfo is None) == (moment.tzinfo is None)


def test_json_from_elsewhere_is_converted_too() -> None:
    def handler(
        order: Order, by_day: dict[date, int], by_id: dict[int, date], raw: bytes | None = None
    ) -> None: ...

    convert = converter(handler)
    call = PAYLOADS.unpack(
        "q",
        "t",
        b'[[{"id": "00000000-0000-0000-0000-000000000007", "at": "2026-01-02T03:00:00Z", '
        b'"lines": [["tea", "1.50"]]}, {"2026-01-02": 3}, {"7": "2026-01-02"}]]',
    )
    assert convert is not None
    assert convert(call.args, call.kwargs) == ([ORDER, {date(2026, 1, 2): 3}, {7: date(2026, 1, 2)}], {})


@pytest.mark.parametrize(
    "kind",
    [str, int | None, list[str], dict[str, Any], bytes, Any, float | str, Literal["a", "b"], list[dict[str, int]],
     Path, list[Path] | None, datetime | str, object],
    ids=str,
)  # fmt: skip
def test_nothing_is_converted_where_nothing_can_be_gained(kind: Any) -> None:
    def handler(value): ...

    handler.__annotations__ = {"value": kind, "return": kind}
    assert converter(handler) is None
    assert result_type(handler) is Any


def test_a_function_without_annotations_has_no_converter() -> None:
    assert converter(lambda a, b: None) is None
    assert converter(print) is None
    assert result_type(print) is Any


def test_an_annotation_that_cannot_be_resolved_does_not_spoil_the_others() -> None:
    def handler(a: Unknown, when: date, b: list[Unknown]) -> Unknown: ...

    assert sent(handler, "x", date(2026, 1, 2), [1]) == (["x", date(2026, 1, 2), [1]], {})
    assert result_type(handler) is Any


def test_a_class_of_the_enclosing_function_is_found() -> None:
    @dataclass
    class Local:
        n: int

    def handler(one: Local) -> None:
        print(Local)

    assert sent(handler, Local(3)) == ([Local(3)], {})


def test_hidden_parameters_take_no_place() -> None:
    class Job:
        def handle(self, ctx: Any, day: date, *, db: Any = None, last: date | None = None) -> None: ...

    day = date(2026, 1, 2)
    assert sent(Job.handle, day, last=day, hidden=frozenset({"self", "ctx", "db"})) == ([day], {"last": day})
    assert sent(Job().handle, day, last=day, hidden=frozenset({"ctx", "db"})) == ([day], {"last": day})


def test_stars_are_converted_by_their_annotation() -> None:
    def handler(n: int, *days: date, **more: time) -> None: ...

    day, noon = date(2026, 1, 2), time(12)
    assert sent(handler, 1, day, day, x=noon) == ([1, day, day], {"x": noon})


def test_a_star_of_names_does_not_touch_the_parameters_that_have_one() -> None:
    def handler(n: str, **more: time) -> None: ...

    assert sent(handler, n="12:00:00", x=time(12)) == ([], {"n": "12:00:00", "x": time(12)})


def test_a_value_that_does_not_fit_names_the_parameter() -> None:
    def handler(n: int, when: date, **more: date) -> None: ...

    with pytest.raises(BadPayload, match="handler: argument 'when' does not fit date: "):
        sent(handler, 1, "tomorrow")
    with pytest.raises(BadPayload, match="handler: argument 'when' does not fit date: "):
        sent(handler, 1, when=3)
    with pytest.raises(BadPayload, match="handler: argument 'other' does not fit date: "):
        sent(handler, 1, other="x")


def test_constraints_of_an_annotation_are_checked() -> None:
    def handler(n: Annotated[int, msgspec.Meta(gt=3)]) -> None: ...

    assert sent(handler, 4) == ([4], {})
    with pytest.raises(BadPayload, match="argument 'n'"):
        sent(handler, 3)
