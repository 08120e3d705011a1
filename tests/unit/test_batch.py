"""What may be declared as a batch, and what its callers see of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import pytest

from streamq.app import App
from streamq.errors import ConfigError, WrongCall
from streamq.options import Unique
from streamq.outcomes import Outcome
from workbench import make_app

if TYPE_CHECKING:
    from elsewhere import Unseen  # type: ignore[import-not-found]


@pytest.fixture
def app() -> App:
    return make_app()


@dataclass
class Item:
    tenant: str
    number: int = 0


class Row(TypedDict):
    tenant: str


class Pair(NamedTuple):
    tenant: str


def takes_items(items: list[Item]) -> list[str | Outcome]:
    return [item.tenant for item in items]


def takes_texts(items: list[str]) -> None: ...


def takes_one(item: Item) -> list[str]: ...


def takes_anything(items) -> None: ...  # type: ignore[no-untyped-def]


def takes_two(items: list[Item], more: int) -> None: ...


def takes_stars(*items: Item) -> None: ...


def returns_text(items: list[Item]) -> str: ...


def yields(items: list[Item]) -> Any:
    yield items


@pytest.mark.parametrize(
    ("words", "handler", "said"),
    [
        ({"size": 0}, takes_items, "size=0: a batch has 1 to 500 items"),
        ({"size": 501}, takes_items, "1 to 500"),
        ({"size": True}, takes_items, "1 to 500"),
        ({"wait": "2m"}, takes_items, "60 s at most"),
        ({"wait": -1}, takes_items, "out of range"),
        ({"by": "tenat"}, takes_items, "is no field of Item; did you mean 'tenant'"),
        ({"by": "tenant"}, takes_texts, "is no field of str"),
        ({"by": 7}, takes_items, "name a field of the item"),
        ({"by": lambda: 1}, takes_items, "is called with one item"),
        ({"isolate": True}, takes_items, "isolate=True"),
        ({"siz": 3}, takes_items, "unexpected keyword|no option"),
        ({}, takes_one, "'item' is Item and no list"),
        ({}, takes_anything, "'items' has no annotation"),
        ({}, takes_two, "takes one list of items"),
        ({}, takes_stars, "takes one list of items"),
        ({}, returns_text, "returns str; a list"),
        ({}, yields, "does not yield"),
        ({}, Item, "is a class"),
    ],
)
def test_what_cannot_be_a_batch_is_refused_where_it_is_declared(
    words: dict[str, Any], handler: Callable[..., Any], said: str, app: App
) -> None:
    with pytest.raises(ConfigError, match=said):
        app.batch(**words)(handler)
    assert app.tasks == {}


def test_by_may_name_a_field_of_all_that_has_fields(app: App) -> None:
    async def rows(items: list[Row]) -> None: ...
    async def pairs(items: Sequence[Pair]) -> None: ...
    async def dicts(items: list[dict[str, int]]) -> None: ...
    async def unseen(items: list[Unseen]) -> list[Unseen]: ...

    keys = [
        app.batch(by="tenant")(fn).batch.key_of(item)  # type: ignore[arg-type,attr-defined]
        for fn, item in (
            (rows, {"tenant": 1}),
            (pairs, Pair("a")),
            (dicts, {"tenant": 2}),
            (unseen, Item("b")),
        )
    ]
    assert keys == [1, "a", 2, "b"]
    with pytest.raises(ConfigError, match="'tenat' is no field of Row"):
        app.batch(by="tenat", name="again")(rows)


def test_to_its_callers_it_is_a_task_of_one_item(app: App) -> None:
    index = app.batch(size=10, unique=Unique(by="item"))(takes_items)
    assert index([Item("acme")]) == ["acme"]
    assert index.call(Item("a")).args == (Item("a"),)
    assert index.returns is Any
    with pytest.raises(WrongCall, match=r"It takes \(item\)"):
        index.call(Item("a"), Item("b"))  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="timeout cannot be of one call"):
        index.using(timeout=3)
    with pytest.raises(ConfigError, match="names no argument"):
        index.using(unique=Unique(by="tenant"))


def test_results_are_read_as_the_elements_that_are_no_exceptions(app: App) -> None:
    def rows(items: list[str]) -> list[Pair | Outcome | ValueError] | None: ...

    assert app.batch()(rows).returns is Pair  # type: ignore[arg-type]
