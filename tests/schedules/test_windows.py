"""Start, end and blackouts of schedules, and the jitter that spreads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from streamq.schedules import BadSchedule, Blackout, Window, jitter, parse

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "inside", "end", "outside"),
    [
        ("2026-12-24 to 2027-01-02", "2026-12-31T10:00", "2027-01-03T00:00", "2026-12-23T23:59"),
        ("2026-12-25", "2026-12-25T00:00", "2026-12-26T00:00", "2026-12-26T00:00"),
        ("25 december", "2030-12-25T23:59", "2030-12-26T00:00", "2030-12-26T00:00"),
        ("24 december to 2 january", "2027-01-01T00:00", "2027-01-03T00:00", "2027-01-03T00:00"),
        ("weekends", "2026-11-28T00:00", "2026-11-29T00:00", "2026-11-30T00:00"),
        ("every weekday 22:00 to 06:00", "2026-11-28T03:00", "2026-11-28T06:00", "2026-11-28T23:00"),
        ("friday 18:00 to monday 06:00", "2026-11-29T10:00", "2026-11-30T06:00", "2026-11-27T17:59"),
        ("sunday 9am until 5pm", "2026-11-29T09:00", "2026-11-29T17:00", "2026-11-29T17:00"),
    ],
)
def test_a_blackout_covers_what_it_says(text: str, inside: str, end: str, outside: str) -> None:
    blackout = Blackout.read(text)
    assert blackout.end_at(_moment(inside)) == _moment(end)
    assert blackout.end_at(_moment(outside)) is None


def test_a_blackout_goes_by_the_clock_of_its_zone() -> None:
    christmas = Blackout.read("25 december", "Europe/Rome")
    assert christmas.end_at(_moment("2026-12-24T23:00")) == _moment("2026-12-25T23:00")
    assert christmas.end_at(_moment("2026-12-25T23:00")) is None


@pytest.mark.parametrize(
    "text",
    ["full moon", "2026-12-24 to 2026-12-01", "weekdays 9am", "weekdays 9am to 9am", "mondays now and then"],
)
def test_a_blackout_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(BadSchedule, match="blackout"):
        Blackout.read(text)


def test_a_window_allows_from_its_start_to_its_end_except_in_blackouts() -> None:
    window = Window(NOW, NOW + timedelta(days=10), (Blackout.read("weekends", name="rest"),))
    assert window.allows(NOW)
    assert window.allows(NOW + timedelta(days=10))
    assert window.obstacle(NOW - timedelta(seconds=1)) == "before its start, 2026-11-24 12:00:00+00:00"
    assert window.obstacle(NOW + timedelta(days=10, seconds=1)) == "after its end, 2026-12-04 12:00:00+00:00"
    assert window.obstacle(NOW + timedelta(days=4)) == "in blackout 'rest'"


def test_the_next_run_in_a_window_leaps_over_blackouts() -> None:
    dark = (Blackout.read("weekends"), Blackout.read("2026-11-30 to 2026-12-01"))
    window = Window(NOW, NOW + timedelta(days=30), dark)
    second = parse("every second")
    assert window.after(second, _moment("2026-11-27T23:59:59")) == _moment("2026-12-02T00:00")
    assert window.after(second, NOW - timedelta(days=9)) == NOW
    assert window.after(second, NOW + timedelta(days=30)) is None


def test_a_window_that_is_always_dark_has_no_next_run() -> None:
    assert Window(blackouts=(Blackout.read("every day"),)).after(parse("every hour"), NOW) is None


def test_jitter_is_the_same_for_all_and_spreads_names_and_times() -> None:
    most = timedelta(minutes=5)
    delays = [jitter(f"report {number}", NOW, most) for number in range(400)]
    assert delays == [jitter(f"report {number}", NOW, most) for number in range(400)]
    assert all(timedelta() <= delay < most for delay in delays)
    assert max(delays) - min(delays) > most * 0.9
    assert jitter("report", NOW, most) != jitter("report", NOW + timedelta(hours=1), most)
    assert jitter("report", NOW, timedelta()) == timedelta()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
