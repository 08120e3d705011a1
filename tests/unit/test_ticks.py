"""What is to be done about a schedule now: which times get a job, which are passed over, and which is next."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamq.declaring import declared, release_of
from streamq.errors import ConfigError
from streamq.protocol.enqueue import NewJob
from streamq.schedule import Schedule, Schedules
from streamq.schedules import Blackout, Window, parse
from streamq.ticks.definition import Definition, Stored
from streamq.ticks.planning import Times, instant
from streamq.ticks.policies import Policies
from streamq.ticks.release import app_name
from workbench import make_app

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def times(expression: str = "every minute", window: Window | None = None, **policies: Any) -> Times:
    return Times("report", parse(expression), window or Window(), Policies.of(**policies))


def planned(of: Times, late: timedelta, now: datetime = NOON) -> tuple[list[str], list[str], str]:
    """Which times run, which first one is passed over, and which is next: as hours and minutes."""
    expected = of.after(now - late - timedelta(milliseconds=1))
    assert expected is not None
    steps = of.steps(expected, now)
    missed = [f"{step.missed:%H:%M}" for step in steps if step.missed]
    assert not any(step.missed for step in steps[1:])
    assert [step.following for step in steps[:-1]] == [step.due for step in steps[1:]], (
        "each begins where one ends"
    )
    following = steps[-1].following
    return (
        [f"{step.due:%H:%M}" for step in steps if step.due],
        missed,
        f"{following:%H:%M}" if following else "",
    )


@pytest.mark.parametrize("missed", ["skip", "latest", "all"])
def test_a_punctual_tick_runs_its_time_whatever_becomes_of_late_ones(missed: str) -> None:
    assert planned(times(missed=missed), timedelta(0)) == (["12:00"], [], "12:01")


def test_of_an_outage_runs_what_the_policy_says() -> None:
    ten = 10 * MINUTE
    assert planned(times(missed="latest"), ten) == (["12:00"], ["11:50"], "12:01")
    assert planned(times(missed="skip"), ten) == (["12:00"], ["11:50"], "12:01")
    assert planned(times("every hour", missed="skip"), 90 * MINUTE, NOON + 30 * MINUTE) == (
        [],
        ["11:00"],
        "13:00",
    )
    assert planned(times(missed="all", most=3), ten) == (["11:58", "11:59", "12:00"], ["11:50"], "12:01")
    assert len(planned(times(missed="all"), ten)[0]) == 11
    assert planned(times(missed="all", lateness="2m"), ten)[0] == ["11:58", "11:59", "12:00"]
    assert (
        planned(times("every hour", missed="latest", lateness="10m"), 40 * MINUTE, NOON + 30 * MINUTE)[0]
        == []
    )


def test_an_outage_of_a_year_is_planned_without_walking_through_it() -> None:
    class Counted:
        calls = 0
        timetable = parse("every 1 second")

        def after(self, moment: datetime) -> datetime | None:
            self.calls += 1
            return self.timetable.after(moment)

    counted = Counted()
    of = Times("report", counted, Window(), Policies.of(missed="all", most=50))  # type: ignore[arg-type]
    steps = of.steps(NOON - timedelta(days=365), NOON)
    assert [step.due for step in steps] == [NOON - timedelta(seconds=n) for n in range(49, -1, -1)]
    assert counted.calls < 500


def test_a_time_is_due_at_its_jitter_and_not_before() -> None:
    of = times("every hour", jitter="10m")
    due = of.due_at(NOON)
    assert NOON <= due < NOON + 10 * MINUTE
    assert of.due_at(NOON) == due
    assert len({of.due_at(NOON + timedelta(hours=n)).minute for n in range(20)}) > 3
    ((_, run, following),) = of.steps(NOON, due)
    assert (run, following) == (NOON, NOON + timedelta(hours=1))
    assert of.place(NOON) == (NOON.timestamp() * 1000, due.timestamp() * 1000)


def test_what_a_window_bars_is_no_time() -> None:
    window = Window(end=NOON + 3 * MINUTE, blackouts=(Blackout.read("tuesday 12:01 to 12:03"),))
    assert planned(times(window=window, missed="all"), 5 * MINUTE, NOON + 5 * MINUTE) == (
        ["12:00", "12:03"],
        [],
        "",
    )
    assert planned(times(window=window, missed="all"), 6 * MINUTE, NOON + MINUTE)[2] == "12:03"


@given(
    expression=st.sampled_from(
        ["every 7 minutes", "*/5 9-17 * * *", "every day at 9am Europe/Rome", "every 90 s"]
    ),
    late=st.integers(0, 100_000),
    most=st.integers(1, 30),
    jitter=st.sampled_from([0, 20, 200]),
)
def test_no_time_runs_twice_and_none_is_forgotten(expression: str, late: int, most: int, jitter: int) -> None:
    of = times(expression, missed="all", most=most, jitter=jitter)
    expected = of.after(NOON - timedelta(seconds=late))
    assert expected is not None
    now = max(NOON, of.due_at(expected))
    steps = of.steps(expected, now)
    ran, following = [step.due for step in steps if step.due], steps[-1].following
    walked, moment = [], expected
    while of.due_at(moment) <= now:
        walked.append(moment)
        after = of.after(moment)
        assert after is not None
        moment = after
    assert ran == walked[-most:]
    assert following == moment
    assert (steps[0].missed is None) == (len(walked) <= most)


def test_what_is_kept_is_read_back() -> None:
    window = Window(NOON, NOON + timedelta(days=9), (Blackout.read("weekends", "Europe/Rome", "rest"),))
    of = times(
        "every day at 2:30am Europe/Rome",
        window,
        missed="all",
        most=7,
        overlap="queue",
        jitter=1.5,
        grace="1h",
    )
    job = NewJob("send", b"x", 7, ("tags", "a,b", "expires", 5))
    fields = Definition(of, job, "a note", "shop").fields
    raw = {name: value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()}
    stored = Stored("report", "mail", raw)
    assert stored.times == of
    assert stored.job(make_app().payloads, 5) == job, "what is no payload goes as it is"


def test_a_job_carries_its_schedule_and_its_time_beside_the_options_of_its_call() -> None:
    app = make_app()

    @app.task
    async def send(to: str) -> None: ...

    one = declared("every hour", send.using(timeout=5).call("a@b.c"), None, {"name": "hourly"})
    raw = {
        name: value if isinstance(value, bytes) else str(value).encode()
        for name, value in one.definition(None).fields.items()
    }
    job = Stored("hourly", "default", raw).job(app.payloads, 1_700_000_000_000)
    opened = app.payloads.unpack("default", "send", job.body)
    assert opened.args == ["a@b.c"]
    assert opened.options == {"timeout": 5.0, "schedule": "hourly", "scheduled": 1_700_000_000_000}


def test_versions_of_code_differ_by_what_runs_when_and_by_nothing_else() -> None:
    app = make_app()

    @app.task
    async def send(to: str) -> None: ...

    def digest(when: str, to: str, key: str | None = None, **words: Any) -> str:
        return release_of("shop", key, [declared(when, send.call(to), None, words)]).digest

    same = digest("every hour", "a")
    assert digest("@hourly", "a") != same, "it is another expression"
    assert digest("every 60 minutes", "a") == same
    others = {digest("every hour", "b"), digest("every hour", "a", grace=5), digest("every hour", "a", "k2")}
    assert len(others | {same}) == 4


def test_an_app_is_called_by_its_module_however_that_is_run() -> None:
    assert app_name(None, {"__name__": "shop.jobs"}) == "shop.jobs"
    assert app_name(None, {"__name__": "__main__", "__file__": "/x/shop.py", "__spec__": None}) == "shop"
    assert app_name("mine", {"__name__": "shop"}) == "mine"
    with pytest.raises(ConfigError, match="name='my shop' cannot name an App"):
        app_name("my shop", {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"most": 3}, 'most=3 counts the late runs of missed="all"'),
        ({"missed": "all", "most": 0}, "most=0 is out of range"),
        ({"missed": "never"}, "missed='never' is not known: use 'skip', 'latest', 'all'"),
        ({"jitter": "soon"}, "jitter='soon' is not a duration"),
    ],
)
def test_policies_that_cannot_be_meant_so_are_refused(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Policies.of(**words)


def test_a_moment_survives_its_milliseconds() -> None:
    assert instant(1_700_000_000_123).isoformat() == "2023-11-14T22:13:20.123000+00:00"


@pytest.mark.parametrize("kind", [Schedule, Schedules])
def test_the_blocking_methods_and_their_awaited_forms_say_the_same(kind: type) -> None:
    plain = [name for name in vars(kind) if name[0] != "_" and callable(getattr(kind, f"a{name}", None))]
    assert set(plain) >= (
        {"put", "list"} if kind is Schedules else {"put", "info", "run", "backfill", "pause"}
    )
    for name in plain:
        blocking, awaited = getattr(kind, name), getattr(kind, f"a{name}")
        assert inspect.iscoroutinefunction(awaited)
        assert inspect.signature(blocking) == inspect.signature(awaited)
        assert blocking.__doc__ == awaited.__doc__
