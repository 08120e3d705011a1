"""Cron expressions: which fields mean what, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim

from schedules.campaign import fires
from streamq.schedules import BadSchedule, parse

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

EXPRESSIONS = [
    "*/15 * * * *",
    "7-59/13 */5 * * *",
    "0,30 9-17 * * 1-5",
    "0 9 * jan-mar,dec mon",
    "0 0 13 * 5",
    "0 0 1-31 * 5",
    "0 0 */2 * 1",
    "0 0 1,15 * *",
    "0 0 L * *",
    "0 0 * * 5#2",
    "0 0 * * 1#1,3#3",
    "0 0 * * 5L",
    "0 0 29 2 *",
    "0 12 * * 7",
    "0 12 * * 0-6",
    "*/20 * * * * *",
    "30 0 9 * * *",
    "5,10 */30 6 * * 2",
]

REFUSED = {
    "* * * *": "has 4 fields",
    "* * * * * * *": "has 7 fields",
    "61 * * * *": "'61 * * * *' cannot be used",
    "0 24 * * *": "cannot be used",
    "0 9 * * foo": "field 'foo' cannot be used for the weekday",
    "0 9 * * 8": "cannot be used",
    "0 0 15W * *": "'15w' cannot be used for the day of the month",
    "0 0 1 13 *": "cannot be used",
    "*/0 * * * *": "cannot be used",
    "0 0 */2 * 5#2": "do not go with",
    "@reboot": "@reboot is not known",
    "@daily please": "please",
    "0 0 * * * please": "'please' cannot be used for the weekday",
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_fires_when_cronsim_says(expression: str) -> None:
    timetable, theirs = parse(expression), CronSim(expression, NOW)
    moment = NOW
    for _ in range(60):
        due = timetable.after(moment)
        assert due == next(theirs)
        moment = due
    assert parse(timetable.written) == timetable


@pytest.mark.parametrize("expression", REFUSED)
def test_an_expression_that_cannot_be_used_is_refused_by_its_field(expression: str) -> None:
    with pytest.raises(BadSchedule) as refusal:
        parse(expression)
    assert REFUSED[expression] in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@YEARLY", "0 0 1 1 *"),
    ],
)
def test_a_name_stands_for_its_expression(name: str, expression: str) -> None:
    assert parse(f"{name} Europe/Rome") == parse(f"{expression} Europe/Rome")


@pytest.mark.parametrize(
    "expression", ["0 9 * * 1-5", "*/15 * * * *", "0 12 1,15 * *", "5 * * * 0,6", "0 0 * * 5#2", "0 9 * 6 1"]
)
def test_the_words_of_an_expression_mean_the_same_moments(expression: str) -> None:
    timetable = parse(expression, zone="Europe/Rome")
    end = NOW + timedelta(days=400)
    assert list(fires(parse(timetable.words()), NOW, end)) == list(fires(timetable, NOW, end))


def test_an_expression_whose_day_never_comes_has_no_next_moment() -> None:
    assert parse("0 0 30 2 *").after(NOW) is None


def test_the_first_of_six_fields_is_the_second() -> None:
    assert parse("30 15 9 * * *").after(NOW) == datetime(2026, 11, 25, 9, 15, 30, tzinfo=UTC)
