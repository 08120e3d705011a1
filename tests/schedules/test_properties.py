"""What holds for every timetable: it is written so that it reads back, and its runs come one after the other."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from streamq.schedules import BadSchedule, Timetable, parse
from streamq.schedules.calendar import Calendar

VOCABULARY = """
every each other on in at between and from to the of month of starting 2026-12-01 2026-10-25 first second last
1st 15th 31st monday friday weekday weekdays weekends day days week weeks months year 2 15 30 minutes hours
seconds hour january february 29 9am 5pm 02:30 17:00 noon midnight tomorrow next except , ; gap=skip fold=both
Europe/Rome UTC :15 minute daily hourly monthly quarter +01:00 * */5 0 1-5 @daily L
"""
ZONES = st.sampled_from(
    ["Europe/Rome", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Nuuk", "UTC"]
)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2041, 1, 1), timezones=st.just(UTC))
POLICIES = st.tuples(st.sampled_from(["shift", "skip"]), st.sampled_from(["first", "last", "both"]))


def _numbers(low: int, high: int) -> st.SearchStrategy[str]:
    mixed = st.integers(1, 20).map(lambda step: f"*/{step},{high}")
    several = st.lists(st.integers(low, high), min_size=1, max_size=4).map(
        lambda them: ",".join(map(str, them))
    )
    return st.one_of(st.just("*"), st.integers(1, 20).map(lambda step: f"*/{step}"), mixed, several)


CRON = st.tuples(_numbers(0, 59), _numbers(0, 23), _numbers(1, 31), _numbers(1, 12), _numbers(0, 7)).map(
    " ".join
)
CLOCKS = st.lists(st.times().map(lambda time: f"{time:%H:%M}"), min_size=1, max_size=3).map(" and ".join)
WEEKDAYS = st.lists(st.sampled_from(["monday", "tuesday", "friday", "sunday"]), min_size=1, unique=True).map(
    " and ".join
)
ORDINALS = st.sampled_from(["first", "second", "fifth", "last", "2nd to last"])
MONTHS = st.sampled_from(["the month", "january", "february and march", "june, july and december"])
DAYS = st.one_of(
    WEEKDAYS.map("every {}".format),
    st.tuples(WEEKDAYS, MONTHS.filter(lambda months: months[0] != "t")).map(
        lambda both: f"every {both[0]} in {both[1]}"
    ),
    st.tuples(ORDINALS, st.sampled_from(["monday", "weekday", "day"]), MONTHS).map(
        lambda all_: "on the {} {} of {}".format(*all_)
    ),
    st.tuples(st.integers(1, 28), MONTHS).map(lambda both: f"on the {both[0]}th of {both[1]}"),
    st.sampled_from(
        ["every day", "every weekday", "every month", "every year", "weekends", "every day except friday"]
    ),
)
STEPS = st.sampled_from(
    ["every 15 minutes", "every hour", "every 7 minutes", "every 45 seconds", "every 90 minutes"]
)
PHRASES = st.one_of(
    st.tuples(DAYS, CLOCKS).map(lambda both: f"{both[0]} at {both[1]}"),
    st.tuples(STEPS, DAYS).map(" ".join),
    st.tuples(STEPS, DAYS).map(lambda both: f"{both[0]} between 01:15 and 03:30 {both[1]}"),
    st.tuples(st.integers(2, 9), WEEKDAYS, CLOCKS).map(
        lambda all_: "every {} weeks on {} at {} starting 2026-12-03".format(*all_)
    ),
    st.tuples(st.integers(2, 9), CLOCKS).map(
        lambda both: "every {} days at {} starting 2026-12-03".format(*both)
    ),
    st.integers(1, 10_000).map("every {} seconds".format),
)


def _parsed(text: str, zone: str, policy: tuple[str, str], now: datetime | None = None) -> Timetable | None:
    with contextlib.suppress(BadSchedule):
        return parse(text, zone, now, *policy)
    return None


@given(st.one_of(PHRASES, CRON), ZONES, POLICIES)
@settings(deadline=None, max_examples=200)
def test_what_is_written_reads_back_equal_whatever_else_is_given(
    text: str, zone: str, policy: tuple[str, str]
) -> None:
    timetable = _parsed(text, zone, policy)
    if timetable is not None:
        assert (
            parse(timetable.written)
            == timetable
            == parse(timetable.written, "Asia/Tokyo", None, "skip", "last")
        )


@given(PHRASES, ZONES, POLICIES)
@settings(deadline=None, max_examples=200)
def test_the_words_of_a_phrase_read_back_equal(text: str, zone: str, policy: tuple[str, str]) -> None:
    timetable = _parsed(text, zone, policy)
    if timetable is not None:
        assert parse(timetable.words()) == timetable


@given(CRON, ZONES, POLICIES)
@settings(deadline=None, max_examples=200)
def test_the_words_of_an_expression_that_read_back_mean_the_same(
    text: str, zone: str, policy: tuple[str, str]
) -> None:
    timetable = parse(text, zone, None, *policy)
    assert isinstance(timetable, Calendar)
    said = _parsed(timetable.words(), "UTC", ("shift", "first"))
    assert said is None or said == replace(timetable, cron="")


@given(st.one_of(PHRASES, CRON), ZONES, POLICIES, MOMENTS)
@settings(deadline=None, max_examples=200)
def test_runs_come_one_after_the_other_and_none_between(
    text: str, zone: str, policy: tuple[str, str], moment: datetime
) -> None:
    timetable = _parsed(text, zone, policy)
    first = timetable.after(moment) if timetable else None
    if timetable is None or first is None:
        return
    assert first > moment
    assert len(set(timetable.lint(moment))) == len(timetable.lint(moment))
    assert timetable.after(first - timedelta(seconds=1)) == first
    assert timetable.after(moment + (first - moment) / 2) == first
    second = timetable.after(first)
    assert second is None or second > first


@given(MOMENTS, ZONES)
@settings(deadline=None)
def test_one_moment_reads_back_wherever_it_is(moment: datetime, zone: str) -> None:
    local = moment.replace(microsecond=0).astimezone(ZoneInfo(zone))
    timetable = parse(
        f"{local:%Y-%m-%d %H:%M:%S}{local.strftime('%z')[:3]}:{local.strftime('%z')[3:]} {zone}"
    )
    assert timetable.after(datetime(2019, 1, 1, tzinfo=UTC)) == local.astimezone(UTC)
    assert parse(timetable.written) == timetable == parse(timetable.words())


@given(
    st.lists(st.sampled_from(VOCABULARY.split()), min_size=1, max_size=9),
    st.sampled_from(["UTC", "Europe/Rome"]),
)
@settings(deadline=None, max_examples=600)
def test_any_words_are_refused_or_make_a_timetable_that_reads_back(words: list[str], zone: str) -> None:
    timetable = _parsed(" ".join(words), zone, ("shift", "first"), datetime(2026, 11, 24, 12, tzinfo=UTC))
    if timetable is not None:
        assert parse(timetable.written) == timetable
        if not getattr(timetable, "cron", ""):
            assert parse(timetable.words()) == timetable


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=500)
def test_any_text_is_refused_or_read_but_nothing_else(text: str) -> None:
    _parsed(text, "UTC", ("shift", "first"), datetime(2026, 11, 24, 12, tzinfo=UTC))
