"""What phrases mean, by their next fire times, and what is refused instead of guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schedules.campaign import fires
from streamq.errors import ConfigError
from streamq.schedules import BadSchedule, parse

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)  # a Tuesday

MEANINGS = {
    "every weekday at 9am Europe/Rome": ["2026-11-25T08:00", "2026-11-26T08:00", "2026-11-27T08:00", "2026-11-30T08:00"],
    "first monday of the month at noon": ["2026-12-07T12:00", "2027-01-04T12:00"],
    "last day of the month at 23:30": ["2026-11-30T23:30", "2026-12-31T23:30", "2027-01-31T23:30", "2027-02-28T23:30"],
    "every 15 minutes between 9am and 5pm on weekdays": ["2026-11-24T12:15", "2026-11-24T12:30"],
    "every hour between 16:00 and 17:00 on weekdays": ["2026-11-24T16:00", "2026-11-24T17:00", "2026-11-25T16:00"],
    "every 15 minutes": ["2026-11-24T12:15", "2026-11-24T12:30"],
    "every 90 s": ["2026-11-24T12:01:30", "2026-11-24T12:03"],
    "every 2 hours": ["2026-11-24T14:00", "2026-11-24T16:00"],
    "every 1h30m": ["2026-11-24T13:30", "2026-11-24T15:00"],
    "every 1 hour and 30 minutes": ["2026-11-24T13:30", "2026-11-24T15:00"],
    "every half hour": ["2026-11-24T12:30", "2026-11-24T13:00"],
    "every 90 minutes starting 2026-12-01 09:00 Europe/Rome": ["2026-12-01T08:00", "2026-12-01T09:30"],
    "hourly": ["2026-11-24T13:00", "2026-11-24T14:00"],
    "every hour at :15 Asia/Kolkata": ["2026-11-24T12:45", "2026-11-24T13:45"],
    "every hour at minutes 0 and 20": ["2026-11-24T12:20", "2026-11-24T13:00", "2026-11-24T13:20"],
    "every day at 08:30 America/New_York": ["2026-11-24T13:30", "2026-11-25T13:30"],
    "EVERY DAY AT NOON": ["2026-11-25T12:00", "2026-11-26T12:00"],
    "daily at midnight": ["2026-11-25T00:00", "2026-11-26T00:00"],
    "every day at 9am, 1pm and 17:30": ["2026-11-24T13:00", "2026-11-24T17:30", "2026-11-25T09:00"],
    "every day except sunday at 7:15": ["2026-11-25T07:15"] + [f"2026-11-{day}T07:15" for day in (26, 27, 28, 30)],
    "every monday and thursday at 18:30": ["2026-11-26T18:30", "2026-11-30T18:30"],
    "every friday 5pm America/New_York": ["2026-11-27T22:00", "2026-12-04T22:00"],
    "mon-fri at 17:00": ["2026-11-24T17:00", "2026-11-25T17:00", "2026-11-26T17:00", "2026-11-27T17:00", "2026-11-30T17:00"],
    "every monday through wednesday at 6 am": ["2026-11-25T06:00", "2026-11-30T06:00"],
    "weekends at 10:00": ["2026-11-28T10:00", "2026-11-29T10:00", "2026-12-05T10:00"],
    "every week on monday at 12 p.m.": ["2026-11-30T12:00", "2026-12-07T12:00"],
    "every other friday at 9am starting 2026-12-04": ["2026-12-04T09:00", "2026-12-18T09:00", "2027-01-01T09:00"],
    "every 2 weeks on tuesday at 10am starting 2026-12-01": ["2026-12-01T10:00", "2026-12-15T10:00"],
    "every monday at 9am starting 2026-12-04": ["2026-12-07T09:00", "2026-12-14T09:00"],
    "every 3 days at 9am starting 2026-12-01": ["2026-12-01T09:00", "2026-12-04T09:00"],
    "every 2 months on the 15th at 9am starting 2026-12-01": ["2026-12-15T09:00", "2027-02-15T09:00"],
    "on the 1st and 15th at 6am": ["2026-12-01T06:00", "2026-12-15T06:00", "2027-01-01T06:00"],
    "last friday of every month at 5pm": ["2026-11-27T17:00", "2026-12-25T17:00"],
    "first and third monday of each month at 8am": ["2026-12-07T08:00", "2026-12-21T08:00", "2027-01-04T08:00"],
    "fifth friday of the month at noon": ["2027-01-29T12:00", "2027-04-30T12:00"],
    "last business day of the month at 17:00": ["2026-11-30T17:00", "2026-12-31T17:00", "2027-01-29T17:00"],
    "2nd to last day of the month at 8:00": ["2026-11-29T08:00", "2026-12-30T08:00"],
    "on the 1st of the month and on the last friday of the month at 9:00": ["2026-11-27T09:00", "2026-12-01T09:00"],
    "every monday in june and july at 9am": ["2027-06-07T09:00", "2027-06-14T09:00"],
    "every 25 december at noon": ["2026-12-25T12:00", "2027-12-25T12:00"],
    "every year on december 25th at 10:00": ["2026-12-25T10:00", "2027-12-25T10:00"],
    "every 29 february": ["2028-02-29T00:00", "2032-02-29T00:00"],
    "every month": ["2026-12-01T00:00", "2027-01-01T00:00"],
    "every quarter at 6:00": ["2027-01-01T06:00", "2027-04-01T06:00"],
    "last day of the quarter at 23:00": ["2026-12-31T23:00", "2027-03-31T23:00"],
    "2026-12-01 09:00 Europe/Rome": ["2026-12-01T08:00"],
    "2026-12-01T09:00:00+05:30": ["2026-12-01T03:30"],
    "tuesday, 1 december 2026 at 9:00 am": ["2026-12-01T09:00"],
    "tomorrow at 5pm": ["2026-11-25T17:00"],
    "today at 23:00 Asia/Tokyo": ["2026-11-24T14:00"],
    "next monday at 9am": ["2026-11-30T09:00"],
    "in 10 minutes": ["2026-11-24T12:10"],
    "in two days": ["2026-11-26T12:00"],
    "RRULE:FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=17": ["2026-11-27T17:00", "2026-12-25T17:00"],
    "DTSTART;TZID=Europe/Rome:20261201T090000 RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=TU": ["2026-12-01T08:00", "2026-12-15T08:00"],
}  # fmt: skip

REFUSED = {
    "every blue moon": "'blue', 'moon'",
    "every weekday at 9am please": "'please'",
    "every day on foo": "'foo'",
    "twice a day": "'twice', 'a'",
    "every monday or friday at 9am": "'or'",
    "on the 32nd": "'32nd'",
    "every other weekday at 9am": "'weekday'",
    "every 5 minutes during lunch": "'during', 'lunch'",
    "in 10 bananas": "'10', 'bananas'",
    "every morning": "'morning'",
    "banana": "'banana'",
    "every": "ends too early",
    "every day at": "ends too early",
    "at 5": "'05:00' or '17:00'",
    "every monday at 5": "'05:00' or '17:00'",
    "at 9am": "'every day at 09:00'",
    "on 5/6": "5 june or 6 may",
    "monday at 9am": "'every monday'",
    "next friday at 9am": "'2026-11-27' or '2026-12-04'",
    "every second monday": "'every 2 weeks on monday starting …' or 'the second monday of the month'",
    "every other friday": "'every other friday starting 2026-11-27' or 'every other friday starting 2026-12-04'",
    "every 2 weeks on tuesday": "starting 2026-12-01' or",
    "25 december at noon": "'every year'",
    "first monday": "of what",
    "every monday at 9am and every friday at 5pm": "make a schedule of each",
    "every monday at 9am every friday at 5pm": "make a schedule of each",
    "every day and at 9am": "make a schedule of each",
    "on the 1st of january and on the 15th of june": "different months",
    "every day, every monday": "names a day twice",
    "every 15 minutes at 9am": "make a schedule of each",
    "every day at 25:00": "'25:00' is no time of day",
    "every day at 13pm": "'13pm' is no time of day",
    "every february 30th": "there is no such day",
    "2026-02-30 09:00": "is no date",
    "wednesday 2026-12-01 at 9am": "2026-12-01 is a tuesday",
    "tomorrow": "one time of day",
    "every week": "on which day of the week",
    "every january": "which days of the month",
    "between 9am and 5pm": "how often",
    "every 15 minutes between 5pm and 9am": "not after 17:00",
    "every 0 minutes": "1 second to 366 days",
    "every 15 minutes Europe/Rome": "no zone",
    "every day at 9am Europe/Roma": "did you mean Europe/Rome?",
    "every day at 9am PST": "by a place",
    "every day at 9am Europe/Rome Europe/Paris": "two zones",
    "every day at 9am gap=jump": "use shift, skip",
    "every day at 9am UTC; on sundays never": "not understood: 'on sundays never'",
    "2026-03-29 02:30 Europe/Rome gap=skip": "does not exist",
    "2026-10-25 02:30 Europe/Rome fold=both": "comes twice",
    "RRULE:FREQ=DAILY;COUNT=3;BYHOUR=3": "COUNT=3",
    "RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9": "DTSTART",
    "": "a text of 1 to",
}


@pytest.mark.parametrize("phrase", MEANINGS)
def test_a_phrase_means_these_moments(phrase: str) -> None:
    wanted = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in MEANINGS[phrase]]
    timetable = parse(phrase, now=NOW)
    assert list(fires(timetable, NOW, wanted[-1] + timedelta(seconds=1))) == wanted
    assert parse(timetable.written) == timetable
    assert parse(timetable.words()) == timetable


@pytest.mark.parametrize("phrase", REFUSED)
def test_what_is_not_understood_is_refused_with_its_words_or_readings(phrase: str) -> None:
    with pytest.raises(BadSchedule) as refusal:
        parse(phrase, now=NOW)
    assert REFUSED[phrase] in str(refusal.value)
    assert isinstance(refusal.value, ConfigError)


def test_a_phrase_that_counts_from_the_present_needs_to_know_it() -> None:
    with pytest.raises(BadSchedule, match="pass now="):
        parse("in 10 minutes")


def test_a_phrase_names_its_zone_and_policy_or_takes_the_given_ones() -> None:
    own = parse("every day at 02:30 Asia/Tokyo gap=skip", zone="Europe/Rome", fold="last")
    assert own.written == "every day at 02:30 Asia/Tokyo gap=skip fold=last"
    assert (
        parse("every day at 02:30", zone="europe/rome").written
        == "every day at 02:30 Europe/Rome gap=shift fold=first"
    )


def test_a_timetable_says_its_zone_and_policy_in_words() -> None:
    assert parse("every weekday at 9am Europe/Rome gap=skip fold=both").words() == (
        "every weekday at 09:00 Europe/Rome; a time that the clock skips does not run; one that it repeats runs both times"
    )
    assert parse("every 15 minutes").words() == "every 15 minutes counted from 1970-01-01 00:00 UTC"


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no time zone"):
        parse("every day at 9am").after(datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("text", "surprise"),
    [
        ("30 2 * * * Europe/Rome", "02:30 does not exist on 2027-03-28 in Europe/Rome: shifted to 03:00"),
        ("30 2 * * * Europe/Rome", "02:30 happens twice on 2027-10-31 in Europe/Rome: runs the first time"),
        (
            "every day at 02:30 Europe/Rome gap=skip",
            "02:30 does not exist on 2027-03-28 in Europe/Rome: skipped",
        ),
        ("0 0 30 2 *", "never fires"),
        ("2020-01-01 09:00", "never fires"),
        ("every 29 february", "fires 29 February only"),
        ("on the 31st at 9am", "not every month has a day 31"),
        ("fifth friday of the month at noon", "not every month has a fifth one"),
        ("*/7 * * * *", "every 7 minutes in cron is uneven"),
        ("every 7 minutes every day", "begins anew at midnight"),
        ("every 10 seconds", "fires 6 times a minute"),
        ("*/10 * * * * *", "fires 6 times a minute"),
        ("30 0 9 * * *", "the first one is the second"),
        ("0 0 13 * 5", "cron runs when either fits"),
        ("every day at 9am EST", "EST is UTC-05:00 all year"),
    ],
)
def test_lint_says_what_may_surprise(text: str, surprise: str) -> None:
    assert any(surprise in said for said in parse(text).lint(NOW)), parse(text).lint(NOW)


@pytest.mark.parametrize(
    "text",
    ["every weekday at 9am Europe/Rome", "*/15 * * * * Europe/Rome", "every 15 minutes", "0 9 * * 1-5"],
)
def test_lint_is_silent_where_nothing_surprises(text: str) -> None:
    assert parse(text).lint(NOW) == []
