"""Options: checked where they are written, normal afterwards, refused with the remedy."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamq import options
from streamq.backoff import Backoff, backoff_of
from streamq.config import Durability
from streamq.durations import seconds
from streamq.errors import BadPayload, ConfigError, WrongCall
from streamq.options import CallOptions, CallWords, Debounce, TaskOptions, TaskWords, Throttle, Unique, level
from streamq.outcomes import Dead, Retry, Snooze
from streamq.unique import Rule, key_of
from streamq.wire import Payloads


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (30, 30.0),
        (0.5, 0.5),
        (0, 0.0),
        ("30", 30.0),
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("1.5h", 5400.0),
        ("2d", 172800.0),
        ("1w", 604800.0),
        (timedelta(minutes=2), 120.0),
    ],
    ids=repr,
)
def test_durations_are_read(written: Any, expected: float) -> None:
    assert seconds(written) == pytest.approx(expected)


@pytest.mark.parametrize(
    "written",
    ["5 bananas", "", "m", "5m of", "-5s", "1e3", "٣s", "5m" * 1000, "nan", True, None, [], {}, b"5m"],
)
def test_what_is_no_duration_is_refused_with_the_forms(written: Any) -> None:
    with pytest.raises(ConfigError, match=r'is not a duration: use seconds \(30\), a text \("500ms", "30s"'):
        seconds(written)


@pytest.mark.parametrize(
    "written", [-1, float("nan"), float("inf"), 10**400, timedelta(-1), "4000d", "9" * 60]
)
def test_a_duration_is_from_0_to_ten_years(written: Any) -> None:
    with pytest.raises(ConfigError, match="from 0 to ten years"):
        seconds(written, "delay")


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert 0 <= seconds(text) <= 10 * 366 * 86400


def test_priorities_are_levels() -> None:
    words: Any = [0, 9, "low", "normal", "high", "critical"]
    assert [level(word) for word in words] == [0, 9, 2, 5, 7, 9]
    wrong: Any
    for wrong in (10, -1, True, "urgent", 5.0, None):
        with pytest.raises(ConfigError, match="use 0 to 9"):
            level(wrong)


def test_the_default_backoff_doubles_up_to_300_seconds_and_chance_takes_at_most_half() -> None:
    backoff = Backoff()
    assert [backoff.delay(attempt, 0.0) for attempt in (1, 2, 3, 8, 9, 5000)] == [2, 4, 8, 256, 300, 300]
    assert backoff.delay(1, 0.5) == 1.5
    assert backoff.delay(9, 0.999) == pytest.approx(150, rel=0.01)


def test_other_backoffs() -> None:
    failed = KeyError("x")
    assert [backoff_of("30s").delay(n, 0.9, failed) for n in (1, 7)] == [30, 30]
    assert [backoff_of([1, "5s", "1m"]).delay(n, 0.9, failed) for n in (1, 2, 3, 4)] == [1, 5, 60, 60]
    chosen = backoff_of(lambda attempt, error: "1m" if isinstance(error, KeyError) else attempt)
    assert [chosen.delay(3, 0.9, error) for error in (failed, ValueError())] == [60, 3]
    with pytest.raises(ConfigError, match="backoff='soon' is not a duration"):
        backoff_of(lambda attempt, error: "soon").delay(1, 0.0, failed)
    wrong: Any
    for wrong in ([], "soon", ["soon"], None, {"first": 1, "last": 2}, {"first": "x"}):
        with pytest.raises(ConfigError, match=r"backoff|Backoff"):
            backoff_of(wrong)
    for bad in ({"factor": 0.5}, {"jitter": 2}, {"first": -1}, {"cap": float("nan")}):
        with pytest.raises(ConfigError, match="it is a number from"):
            Backoff(**bad)


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_backoff_never_leaves_its_bounds(attempt: int, random: float) -> None:
    assert 0.5 * min(2**attempt, 300) <= Backoff().delay(attempt, random) <= min(2**attempt, 300)


def test_the_options_of_a_task_are_checked_and_normal() -> None:
    made = TaskOptions.of(
        name="shop.send", queue="mail", priority="high", attempts=3, backoff="5s", retry_for="1h", timeout="2m",
        soft_timeout=100, expires=timedelta(hours=1), result_ttl="10m", unique=Unique(by="to"), tags=["a", "a"],
        durability="fsynced", no_retry=ValueError, isolate=True, settle_each=True,
    )  # fmt: skip
    assert (made.name, made.queue, made.priority, made.attempts) == ("shop.send", "mail", 7, 3)
    assert (made.retry_for, made.timeout, made.soft_timeout) == (3600.0, 120.0, 100.0)
    assert (made.expires, made.result_ttl, made.tags) == (3600.0, 600.0, ("a",))
    assert (made.durability, made.no_retry) == (Durability.FSYNCED, (ValueError,))
    assert made.backoff.delay(1, 0.5, ValueError()) == 5.0


def test_the_defaults() -> None:
    made = TaskOptions.of()
    assert made == TaskOptions()
    assert (made.queue, made.priority, made.attempts, made.timeout) == ("default", 5, 5, 300.0)
    assert (made.result_ttl, made.backoff) == (60.0, Backoff())
    assert TaskOptions.of(timeout=None).timeout is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"timeout": "5 bananas"}, "timeout='5 bananas' is not a duration"),
        ({"timeout": 0}, "timeout=0 leaves no time"),
        ({"soft_timeout": 400}, r"soft_timeout \(400 s\) must be below timeout \(300 s\)"),
        ({"timout": 3}, "'timout' is no option of a task; did you mean timeout?"),
        ({"delay": 3}, "'delay' is no option of a task"),
        ({"zzz": 3}, "'zzz' is no option of a task; there are queue, priority"),
        ({"attempts": 0}, r"attempts=0: it is 1 \(no retry\)"),
        ({"attempts": True}, "attempts=True"),
        ({"attempts": "5"}, "attempts='5'"),
        ({"queue": "a b"}, "cannot be the name of a queue"),
        ({"name": ""}, "cannot be the name of a task"),
        ({"priority": 11}, "priority=11"),
        ({"unique": "to"}, r'write unique=Unique\(by="argument"\)'),
        ({"tags": "a"}, "give a list"),
        ({"tags": None}, r"tags=\[\] for none"),
        ({"tags": ["\ud800"]}, "no character"),
        ({"durability": "disk"}, "durability='disk': it is one of memory, aof, replicated, fsynced"),
        ({"no_retry": "ValueError"}, "give exception classes"),
        ({"no_retry": [int]}, "give exception classes"),
        ({"isolate": 1}, "isolate=1: it is True or False"),
        ({"backoff": []}, "backoff="),
    ],
)
def test_a_wrong_option_of_a_task_is_refused_with_the_remedy(words: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TaskOptions.of(**words)


def test_a_call_changes_the_options_of_its_task() -> None:
    task = TaskOptions.of(queue="mail", attempts=3, soft_timeout=60)
    call = CallOptions.of(priority="critical", timeout=90, delay="5m")
    merged = task.merged(call)
    assert (merged.queue, merged.attempts, merged.priority, merged.timeout) == ("mail", 3, 9, 90.0)
    assert call.delay == 300.0
    assert task.timeout == 300.0
    with pytest.raises(ConfigError, match="must be below timeout"):
        task.merged(CallOptions.of(timeout=30))


def test_later_words_win_also_between_delay_and_at() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    first = CallOptions.of(delay=5, attempts=2, queue="a")
    later = first.then(CallOptions.of(at=moment, attempts=3))
    assert (later.delay, later.at, dict(later.changes)) == (None, moment, {"attempts": 3, "queue": "a"})
    assert first.then(CallOptions.of(queue="b")).delay == 5.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"at": datetime(2030, 1, 1)}, "has no time zone"),
        ({"at": "tomorrow"}, "is not a datetime"),
        ({"at": datetime(1960, 1, 1, tzinfo=UTC)}, "out of range"),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC), "delay": 1}, "give one of them"),
        ({"delay": "soon"}, "delay='soon' is not a duration"),
        ({"prioritty": 1}, "did you mean priority?"),
        ({"name": "x"}, "'name' is no option of a call"),
        ({"isolate": True}, "no option of a call"),
        ({"backoff": lambda attempt, error: 1}, "a backoff function belongs to the task"),
    ],
)
def test_a_wrong_option_of_a_call_is_refused_with_the_remedy(words: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        CallOptions.of(**words)


@pytest.mark.parametrize("backoff", ["7s", [1, 2, "3s"], Backoff(first=9)])
def test_a_worker_receives_what_a_call_changed(backoff: Any) -> None:
    task = TaskOptions.of(timeout=60, result_ttl="1h")
    call = CallOptions.of(
        backoff=backoff, attempts=9, timeout=None, retry_for="1h", result_ttl=None, queue="x", delay=1
    )
    payloads = Payloads("sq")
    body = payloads.pack("x", "t", (), {}, call.carried)
    received = task.received(payloads.unpack("x", "t", body).options)
    assert received == TaskOptions.of(
        backoff=backoff, attempts=9, timeout=None, retry_for="1h", result_ttl=None
    )


def test_a_call_that_changes_nothing_for_the_worker_carries_nothing() -> None:
    assert CallOptions().carried is None
    assert CallOptions.of(delay=3, queue="x", tags=["a"], priority=3, unique=Unique(by="a")).carried is None
    assert TaskOptions().received({}) == TaskOptions()


@pytest.mark.parametrize("carried", [{"timeout": "soon"}, {"queue": "x"}, {"timout": 3}, {"attempts": None}])
def test_options_of_a_payload_that_cannot_be_used_are_refused(carried: Any) -> None:
    with pytest.raises(BadPayload, match="the options of a payload cannot be used: "):
        TaskOptions().received(carried)


def test_what_type_checkers_see_is_what_is_checked() -> None:
    assert set(get_type_hints(TaskWords)) == set(options._OF_TASKS) == set(get_type_hints(TaskOptions))
    assert set(get_type_hints(CallWords)) == set(options._OF_CALLS)


def test_a_unique_key_depends_on_the_named_arguments_only() -> None:
    unique = Unique(by=["to", "kind"])
    first = key_of(unique, "send", {"to": "a", "kind": {"x": 1, "y": {2, 1}}, "n": 1})
    assert first == key_of(unique, "send", {"n": 2, "kind": {"y": {1, 2}, "x": 1}, "to": "a"})
    assert first.startswith("send:")
    assert len(first) == len("send:") + 32
    others = [
        key_of(unique, "send", {"to": "b", "kind": {"x": 1, "y": {1, 2}}}),
        key_of(unique, "sent", {"to": "a", "kind": {"x": 1, "y": {1, 2}}}),
        key_of(Unique(by="to"), "send", {"to": "a"}),
        key_of(Unique(by="cc"), "send", {"cc": "a"}),
        key_of(Unique(), "send", {"to": "a"}),
    ]
    assert len({first, *others}) == 6
    assert others[-1] == key_of(Debounce("2s"), "send", {"to": "b"}), (
        "no name: one key for all calls of the task"
    )


def test_a_unique_key_is_the_same_in_every_version_and_process() -> None:
    assert key_of(Unique(by="to"), "send", {"to": "a@b.c"}) == "send:9221112f994640822af184c67b9754b8"


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (Unique(by="a"), ("until", "done", "on_conflict", "existing")),
        (Unique(by="a", until="start", on_conflict="reject"), ("until", "start", "on_conflict", "reject")),
        (Unique(by="a", on_conflict="latest"), ("until", "done", "on_conflict", "latest")),
        (
            Unique(by="a", on_conflict="replace", replace=["time", "arguments"]),
            ("until", "done", "on_conflict", "replace", "replace", "time,arguments"),
        ),
        (
            Unique(by="a", on_conflict="replace", replace="time"),
            ("until", "done", "on_conflict", "replace", "replace", "time"),
        ),
        (Throttle("5m", by="a"), ("until", 300_000, "on_conflict", "existing")),
        (Throttle(0.25, by="a", on_conflict="reject"), ("until", 250, "on_conflict", "reject")),
        (Debounce("2s", by="a"), ("debounce", 2_000)),
        (Debounce("2s", by="a", longest="30s"), ("debounce", 2_000, "longest", 30_000)),
    ],
    ids=str,
)
def test_what_the_server_is_told_of_a_rule(rule: Rule, told: tuple[str | int, ...]) -> None:
    name, key, *rest = rule.pairs("send", {"a": 1, "b": 2})
    assert (name, key) == ("unique", key_of(Unique(by="a"), "send", {"a": 1}))
    assert tuple(rest) == told


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Unique(by="a b"), "name arguments of the task"),
        (
            lambda: Unique(by="a", until="5m"),
            r"for a time from the first call, throttle=Throttle\('5m', by=…\)",
        ),
        (lambda: Unique(by="a", on_conflict="fail"), "use one of .*latest"),
        (lambda: Unique(by="a", until="start", on_conflict="latest"), "nothing could follow it"),
        (lambda: Unique(by="a", replace="time"), 'goes with on_conflict="replace"'),
        (
            lambda: Unique(by="a", on_conflict="replace", replace="tags"),
            "name some of arguments, time, priority",
        ),
        (lambda: Unique(by="a", on_conflict="replace", replace=()), r"replace=\(\)\): name some of"),
        (lambda: Throttle("dawn", by="a"), "Throttle window='dawn' is not a duration"),
        (lambda: Throttle(0, by="a"), r"Throttle\(window=0\) leaves no time"),
        (lambda: Throttle("1s", by="a", on_conflict="latest"), "use one of"),
        (lambda: Debounce(0, by="a"), r"Debounce\(wait=0\) leaves no time"),
        (lambda: Debounce("2s", by="a", longest="1s"), "is below its wait"),
        (lambda: TaskOptions.of(unique=Unique(by="a"), debounce=Debounce(1)), "unique and debounce each say"),
        (lambda: CallOptions.of(throttle="5s"), "write throttle=Throttle"),
    ],
)
def test_a_rule_that_cannot_be_meant_so_is_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


def test_a_key_of_values_without_a_stable_form_is_refused() -> None:
    with pytest.raises(WrongCall, match="names no argument"):
        key_of(Unique(by="b"), "send", {"a": 1})
    with pytest.raises(WrongCall, match="send: its unique key holds a value of type object"):
        key_of(Unique(by="a"), "send", {"a": object()})


def test_the_rule_of_a_call_takes_the_place_of_that_of_its_task() -> None:
    task = TaskOptions.of(unique=Unique(by="a"))
    throttled = CallOptions.of(throttle=Throttle("1s"))
    assert task.merged(throttled).rule == Throttle("1s")
    assert task.merged(throttled.then(CallOptions.of(debounce=Debounce("1s")))).rule == Debounce("1s")
    assert task.merged(CallOptions.of(unique=None)).rule is None


def test_outcomes_carry_their_delay_and_reason() -> None:
    assert Retry("30s").delay == 30.0
    assert Retry(reason="busy").delay is None
    assert (Snooze("5m", reason="later").delay, Snooze(1, reason="later").reason) == (300.0, "later")
    assert str(Dead("card is stolen")) == Dead("card is stolen").reason == "card is stolen"
    for outcome in (Retry, Snooze):
        with pytest.raises(ConfigError, match=f"{outcome.__name__}='soon' is not a duration"):
            outcome("soon")
