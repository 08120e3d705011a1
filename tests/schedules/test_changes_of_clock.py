"""Daylight saving: what the policies do with times that a change of the clock skips or repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import available_timezones

import pytest

from schedules.campaign import Report, compare_zone, fires
from streamq.schedules import parse

SPRING = datetime(2026, 3, 29, tzinfo=UTC)  # at 01:00 the clock in Rome goes from 02:00 to 03:00
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)  # at 01:00 it goes from 03:00 to 02:00


def _times(text: str, day: datetime, hours: float = 6) -> list[str]:
    """Fire times in the first hours of a day (UTC), the moment at 00:00 included."""
    start = day - timedelta(seconds=1)
    return [f"{moment:%H:%M}" for moment in fires(parse(text), start, day + timedelta(hours=hours))]


@pytest.mark.parametrize(
    ("text", "spring", "autumn"),
    [
        ("30 2 * * * Europe/Rome", ["01:00"], ["00:30"]),
        ("30 2 * * * Europe/Rome gap=skip fold=last", [], ["01:30"]),
        ("30 2 * * * Europe/Rome gap=shift fold=both", ["01:00"], ["00:30", "01:30"]),
        ("every day at 02:15, 02:45 and 03:00 Europe/Rome", ["01:00"], ["00:15", "00:45", "02:00"]),
        ("every day at 02:15, 02:45 and 03:00 Europe/Rome gap=skip", ["01:00"], ["00:15", "00:45", "02:00"]),
        ("every day at 01:59:59 and 03:00 Europe/Rome fold=last", ["00:59", "01:00"], ["02:00"]),
        ("every hour between 01:30 and 04:00 Europe/Rome", ["00:30", "01:00", "01:30"], ["00:30", "02:30"]),
        ("*/30 2 * * * Europe/Rome fold=both", ["01:00"], ["00:00", "00:30", "01:00", "01:30"]),
        ("0 */2 * * * Europe/Rome", ["01:00", "02:00", "04:00"], ["00:00", "03:00", "05:00"]),
    ],
)  # fmt: skip
def test_times_of_certain_hours_follow_the_policy(text: str, spring: list[str], autumn: list[str]) -> None:
    assert (_times(text, SPRING), _times(text, AUTUMN)) == (spring, autumn)


@pytest.mark.parametrize("policy", ["", "gap=skip fold=first", "gap=shift fold=last"])
def test_a_pattern_of_every_hour_goes_on_through_gap_and_fold_whatever_the_policy(policy: str) -> None:
    quarters = [f"{hour:02}:{minute:02}" for hour in range(6) for minute in (0, 15, 30, 45)]
    assert _times(f"*/15 * * * * Europe/Rome {policy}", SPRING) == quarters
    assert _times(f"every 15 minutes every day Europe/Rome {policy}", AUTUMN) == quarters


def test_an_interval_knows_no_changes_of_clocks() -> None:
    assert _times("every 2 hours", SPRING) == _times("every 2 hours", AUTUMN) == ["00:00", "02:00", "04:00"]


def test_a_gap_at_midnight_moves_the_run_into_the_new_day() -> None:
    gap = datetime(2026, 4, 24, tzinfo=UTC)  # Cairo: 00:00 to 01:00, at 22:00 UTC of the day before
    assert parse("every day at 00:00 Africa/Cairo").after(gap - timedelta(hours=12)) == gap - timedelta(
        hours=2
    )


def test_a_change_of_half_an_hour_is_one_of_half_an_hour() -> None:
    gap = datetime(2026, 10, 3, 10, tzinfo=UTC)  # Lord Howe: 02:00 to 02:30, at 15:30 UTC
    assert _times("every day at 02:10 and 02:40 Australia/Lord_Howe", gap, 8) == ["15:30", "15:40"]


def test_a_day_that_a_zone_left_out_shifts_to_the_next() -> None:
    before = datetime(2011, 12, 29, 22, tzinfo=UTC)  # Samoa had no 2011-12-30
    assert _times("every day at 12:00 Pacific/Apia", before, 48) == ["22:00", "10:00", "22:00"]
    assert _times("every day at 12:00 Pacific/Apia gap=skip", before, 48) == ["22:00", "22:00"]


@pytest.mark.parametrize("second", range(-2, 3))
def test_every_moment_near_a_change_finds_the_same_next_run(second: int) -> None:
    timetable = parse("* * * * * * Europe/Rome")
    for turn in (SPRING + timedelta(hours=1), AUTUMN + timedelta(hours=1)):
        moment = turn + timedelta(seconds=second)
        assert timetable.after(moment) == moment + timedelta(seconds=1)
        assert timetable.after(moment + timedelta(milliseconds=300)) == moment + timedelta(seconds=1)


def test_zones_of_all_kinds_agree_with_the_oracle_for_two_years() -> None:
    chosen = [
        "Europe/Rome",
        "America/Nuuk",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Africa/Cairo",
        "America/Havana",
    ]
    chosen += Random(7).sample(sorted(available_timezones() - {"localtime", "Factory"}), 6)
    report = Report()
    for name in chosen:
        compare_zone(report, name, (2026, 2027))
    assert report.differences == []
    assert report.turns > 20
