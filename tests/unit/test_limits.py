"""Limits as they are written: words and their three forms, what is refused where, and the lanes that arguments make."""

from __future__ import annotations

import inspect
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq import App, Breaker, Limit, QueueFull, Unique, WrongCall
from streamq.config import Config
from streamq.context import Context, current_job
from streamq.errors import ConfigError, from_reply
from streamq.limiter import Limiter
from streamq.limits.keys import VALUE_MAX, encoded
from streamq.limits.lanes import key_named, metered_keys, widest_of
from streamq.limits.rule import Rule
from streamq.packing import packing
from streamq.protocol.enqueue import enqueue
from streamq.steering import Limits


def app_of() -> App:
    return App(config=Config(url="unix:///nowhere"))


def pairs_of(call: Any) -> tuple[Any, ...]:
    """What an enqueue says of a job beside its body."""
    return packing(call.task)(call).options


def tokens(prompt: str) -> float:
    return len(prompt) / 4


# Words


@pytest.mark.parametrize(
    ("written", "text", "shown"),
    [
        ("60_000/min burst 500, slots 3", "rate=1000 burst=500 slots=3", "1_000/s burst 500, slots 3"),
        ("100/min burst 20", "rate=1.666667 burst=20", "100/min burst 20"),
        ("1,000/day", "rate=0.0115740741", "1_000/day"),
        ("slots=3,ordered", "slots=3 ordered=1", "slots 3, ordered"),
        ("rate off, weight 2.5", "rate=off weight=2.5", "rate off, weight 2.5"),
        (
            "most 100 bytes 2MB over drop",
            "most=100 bytes=2000000 over=drop",
            "most 100, bytes 2_000_000, over drop",
        ),
        (
            "errors 50% window 1m least 20 open 90s",
            "errors=0.5 window=60000 least=20 open=90000",
            "errors 50%, window 1m, least 20, open 90s",
        ),
        ("failures 5", "fails=5", "failures 5"),
    ],
)
def test_what_people_write_what_the_server_keeps_and_what_is_shown_mean_the_same(
    written: str, text: str, shown: str
) -> None:
    rule = Rule.parse("openai", written)
    assert (rule.text, rule.shown) == (text, shown)
    assert Rule.parse("openai", shown) == rule
    assert Rule.read(text).shown == shown


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "says no limit"),
        ("5", "'5' is no word"),
        ("5/fortnight", "rate is '5/fortnight'"),
        ("slots", "slots has no value; a whole number above 0 is due"),
        ("slots -1", "slots is '-1'"),
        ("slots 2.5", "slots is '2.5'"),
        ("0/s", "rate is '0/s'"),
        ("5/s 6/s", "says rate twice"),
        ("over flow", "refuse or drop"),
        ("errors 101%", "errors is '101%'"),
        ("slotz 3", "there are a rate"),
    ],
)
def test_words_that_mean_nothing_are_refused_with_what_can_be_written(written: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"limit openai: ") as refused:
        Rule.parse("openai", written)
    assert said in str(refused.value)


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_is_refused(text: str) -> None:
    try:
        rule = Rule.parse("openai", text)
    except ConfigError:
        return
    assert Rule.read(rule.text).text == rule.text


def test_what_an_operator_says_comes_last_and_wins() -> None:
    assert Rule.read("rate=1000 slots=3 rate=10 slots=off later=7").shown == "10/s, slots off"


# Declarations


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Limit("openai"), "limits nothing"),
        (lambda: Limit("open ai", "5/s"), "a name has 1 to 40 letters"),
        (lambda: Limit("queue", "5/s"), "app.limit"),
        (lambda: Limit("openai", 5), "write it as text"),  # type: ignore[arg-type]
        (lambda: Limit("openai", slots=0), "slots is 0"),
        (lambda: Limit("openai", "5/s", cost=0), "cost=0"),
        (lambda: Limit("openai", slots=3, cost=2), "it has none"),
        (lambda: Limit("openai", "5/s", by="not a name"), "neither an argument's name"),
        (lambda: Limit("openai", "burst 5"), "a burst is one of a rate"),
        (lambda: Limit("openai", slots=3, over="drop"), "give most"),
        (lambda: Breaker("stripe", window="1m"), 'errors="50%" too'),
        (lambda: Breaker("stripe", errors=2), "errors is 2"),
        (lambda: Breaker("stripe", on=["ValueError"]), "give exception classes"),  # type: ignore[list-item]
        (lambda: app_of().lane("tenant", weight={"acme": 0}), "weight is 0"),
        (lambda: app_of().limit(queue="mail"), "give a rate, slots"),
        (lambda: app_of().limiter("openai"), "no task of this App has it"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_is_written(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make()
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lane": "tennant"}, "'tennant' names no argument of it; did you mean 'tenant'?"),
        ({"lane": lambda tenant: tenant}, "a name has 1 to 40"),
        ({"limits": "openai"}, "give a list"),
        ({"breaker": 5}, "give a name"),
        ({"limits": [Limit("a", "1/s", cost=tokens)]}, "'prompt' of tokens names no argument"),
        ({"limits": [Limit("a", "1/s", cost=1), Limit("b", "1/s", cost=2)]}, "different costs"),
        ({"limits": [Limit("tenant", "1/s")], "lane": "tenant"}, ""),
        ({"limits": [Limit("tenant", "1/s", by=lambda n: n)], "lane": "tenant"}, "have different keys"),
        ({"limits": [Limit(f"l{n}", "1/s") for n in range(9)]}, "at most 8"),
        ({"limits": [Limit("x" * 38 + str(n), "1/s", by="n") for n in range(6)]}, "too long together"),
    ],
)
def test_options_that_do_not_fit_the_task_are_refused_at_its_declaration(
    options: dict[str, Any], said: str
) -> None:
    app = app_of()

    def work(tenant: str, n: int = 0) -> None: ...

    if not said:
        app.task(**options)(work)
        return
    with pytest.raises(ConfigError) as refused:
        app.task(**options)(work)
    assert said in str(refused.value)


def test_a_name_may_be_said_twice_but_not_with_two_meanings() -> None:
    app = app_of()
    app.task(limits=Limit("openai", "5/s"), name="one")(lambda: None)
    app.task(limits=Limit("openai", "5/s", slots=2), name="two")(lambda: None)
    with pytest.raises(ConfigError, match="limit openai is declared twice, with 5/s and with 6/s"):
        app.task(limits=Limit("openai", "6/s"), name="three")(lambda: None)
    assert app.declarations.of("default") == {"openai": "rate=5 slots=2"}


def test_each_queue_hears_of_the_limits_of_its_own_tasks() -> None:
    app = app_of()
    app.lane("tenant", weight={"acme": 3}, slots=2)
    app.limit(queue="mail", most=100, memory="1GB")

    @app.task(lane="tenant", breaker="stripe")
    def charge(tenant: str) -> None: ...

    @app.task(queue="mail")
    def send(to: str) -> None: ...

    @app.task(queue="other")
    def plain() -> None: ...

    assert app.declarations.of("default") == {
        "tenant:*": "slots=2",
        "tenant:acme": "weight=3",
        "stripe": "fails=5 open=30000",
    }
    assert app.declarations.of("mail") == {"queue": "most=100", "memory": "bytes=1000000000"}
    assert app.declarations.of("other") == {}
    charge.using(queue="other")
    assert "stripe" in app.declarations.of("other")
    told = app.declarations.version
    charge.using(queue="other", delay=1)
    assert app.declarations.version == told, "what was said before is not told again"


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [(Limits, ["all", "show", "set", "unset", "stop", "reset", "lanes"]), (Limiter, ["acquire"])],
)
def test_what_waits_has_an_a_form_that_says_the_same(kind: type, pairs: list[str]) -> None:
    assert [name for name in vars(kind) if f"a{name}" in vars(kind)] == pairs
    for name in pairs:
        plain, awaited = getattr(kind, name), getattr(kind, f"a{name}")
        assert inspect.signature(plain) == inspect.signature(awaited)
        assert inspect.iscoroutinefunction(awaited)
        assert plain.__doc__ == awaited.__doc__


# Lanes


def test_the_keys_of_a_job_come_from_its_arguments_narrow_ones_first() -> None:
    app = app_of()

    @app.task(
        lane="tenant",
        limits=[Limit("openai", "60_000/min", cost=tokens), Limit("user", "5/s", by="user")],
        breaker="stripe",
    )
    def complete(ctx: Context, user: int, prompt: str, *, tenant: str | None = None) -> None: ...

    call = complete.call(7, "hello" * 10, tenant="acme")
    assert pairs_of(call) == ("lane", "tenant:acme|user:7|stripe|openai*", "cost", "12.5")
    assert pairs_of(complete.call(user=7, prompt="four")) == ("lane", "user:7|stripe|openai*")
    assert pairs_of(complete.call(7, ""))[-2:] == ("cost", "0.001")


def test_a_function_of_arguments_makes_the_key_and_none_is_no_key() -> None:
    app = app_of()

    def region(tenant: str, scale: int = 1) -> str | None:
        return {"acme": "eu"}.get(tenant)

    @app.task(lane=region)
    def ingest(tenant: str, rows: bytes = b"") -> None: ...

    assert pairs_of(ingest.call("acme")) == ("lane", "region:eu")
    assert pairs_of(ingest.call("nobody")) == ()


def test_the_jobs_of_a_limited_queue_carry_its_key_also_when_it_was_limited_later() -> None:
    app = app_of()

    @app.task(queue="mail")
    def send(to: str) -> None: ...

    assert pairs_of(send.call("a")) == ()
    app.limit(queue="mail", slots=2)
    assert pairs_of(send.call("a")) == ("lane", "queue")
    assert pairs_of(send.using(queue="other").call("a")) == ()


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("acme", "acme"),
        ("a.b@c-d_e/f", "a.b@c-d_e/f"),
        ("a|b*c,d!e=f:g h%", "a%7Cb%2Ac%2Cd%21e%3Df%3Ag%20h%25"),
        ("straße", "straße"),
        ("tab\t", "tab%09"),
        (7, "7"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (None, None),
    ],
)
def test_values_are_encoded_so_that_no_lane_is_misread(value: object, key: str | None) -> None:
    assert encoded(value, "its tenant") == key


@given(st.text(min_size=1))
def test_any_text_is_a_key_of_bounded_length_without_punctuation_or_is_refused(value: str) -> None:
    try:
        key = encoded(value, "its tenant")
    except WrongCall:
        assert any("\ud800" <= character <= "\udfff" for character in value)
        return
    assert key is not None
    assert 0 < len(key.encode()) <= VALUE_MAX
    assert not set(key) & set("|*,!=: \t\n\0")


@pytest.mark.parametrize("value", ["", 1.5, [], b"x", object()])
def test_a_value_that_is_no_key_is_a_wrong_call(value: object) -> None:
    with pytest.raises(WrongCall, match="its tenant"):
        encoded(value, "its tenant")


@pytest.mark.parametrize("cost", [-1, float("nan"), "5", None, True, 1e13])
def test_a_cost_that_is_no_amount_is_a_wrong_call(cost: Any) -> None:
    app = app_of()

    @app.task(limits=Limit("openai", "5/s", cost=lambda price: price))
    def complete(price: Any) -> None: ...

    with pytest.raises(WrongCall, match="its cost is"):
        pairs_of(complete.call(cost))


def test_jobs_of_one_lane_go_together_and_their_ids_come_back_in_the_order_of_the_calls() -> None:
    app = app_of()

    @app.task(lane="tenant")
    def ingest(tenant: str | None) -> None: ...

    tenants = ("a", "b", "a", None, "b", "a")
    calls = [ingest.call(tenant) for tenant in tenants]
    calls[4] = ingest.using(tags=["x"]).call("b")
    call = enqueue("sq:{default}", 0, "-", 0, 0, [packing(call.task)(call) for call in calls])
    assert [part for part in call.args[4:] if not isinstance(part, bytes)] == [
        5, "ingest", "5=3", "ingest", "tenant:a", "5=1", "ingest", "tenant:b", "5:4", "ingest", "lane", "tenant:b", "tags", "x",
    ]  # fmt: skip
    assert call.read([b"9-0 6", []]).ids == ["5-9-1", "5-9-4", "5-9-2", "5-9-0", "5-9-5", "5-9-3"]


def test_jobs_with_unique_keys_are_sent_in_their_order() -> None:
    app = app_of()

    @app.task(lane="tenant", unique=Unique(by="n"))
    def ingest(tenant: str, n: int) -> None: ...

    jobs = [
        packing(call.task)(call) for call in (ingest.call("a", 1), ingest.call("b", 1), ingest.call("a", 2))
    ]
    call = enqueue("sq:{default}", 0, "-", 0, 0, jobs)
    assert [part for part in call.args if str(part).startswith("tenant:")] == [
        "tenant:a",
        "tenant:b",
        "tenant:a",
    ]
    assert call.read([b"9-0 3", [1, b"5-9-0"]]) == (["5-9-0", "5-9-0", "5-9-2"], {1: "5-9-0"})


def test_a_lane_goes_with_a_unique_key_a_parent_and_what_hooks_add() -> None:
    app = app_of()

    @app.task(lane="tenant")
    def ingest(tenant: str) -> None: ...

    assert pairs_of(ingest.using(unique=Unique(by="tenant"), delay=1).call("a"))[:5] == (
        "lane",
        "tenant:a",
        "delay",
        1000,
        "unique",
    )
    app.before_enqueue(lambda outgoing: outgoing.headers.update(trace="t"))
    assert pairs_of(ingest.call("a")) == ("lane", "tenant:a")
    current_job.set(type("Job", (), {"id": "default-5-1-1"})())
    try:
        assert pairs_of(ingest.call("a")) == ("lane", "tenant:a", "parent", "default-5-1-1")
    finally:
        current_job.set(None)


def test_a_lane_says_which_keys_it_has() -> None:
    lane = "tenant:acme|openai*|queue!"
    assert (key_named(lane, "tenant"), key_named(lane, "openai"), key_named(lane, "x")) == (
        "tenant:acme",
        "openai",
        None,
    )
    assert (metered_keys(lane), widest_of(lane), widest_of("queue")) == (["openai"], "openai", "queue")


def test_a_refusal_for_a_quota_says_what_is_full_and_when_to_come_again() -> None:
    full = from_reply("FULL tenant:acme 1500 jobs: 100 of at most 100 wait")
    assert isinstance(full, QueueFull)
    assert (full.limit, full.retry_after) == ("tenant:acme", 1.5)
    assert str(full).startswith("tenant:acme is full: jobs: 100 of at most 100 wait; try again in 1.5 s")
