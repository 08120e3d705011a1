"""``streamq schedule`` as it is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers import Server
from shells import Shell, shell


@pytest.fixture
def shop(tmp_path: Path, valkey: Server) -> Shell:
    return shell(tmp_path, valkey.url)


def test_an_expression_is_previewed_across_a_change_of_the_clock_without_a_server(tmp_path: Path) -> None:
    nowhere = shell(tmp_path, "redis://127.0.0.1:1")
    when = (
        "every day at 2:30am",
        "--zone",
        "Europe/Rome",
        "--from",
        "2026-03-28T00:00+00:00",
        "--count",
        "3",
    )
    shown = nowhere.call("schedule", "preview", *when)
    assert (
        "every day at 02:30 Europe/Rome; a time that the clock skips runs just after the change" in shown.out
    )
    assert "Sun 2026-03-29 03:00:00 +0200  2026-03-29 01:00:00  the clock has changed" in shown.out
    skipping = nowhere.call("schedule", "preview", *when, "--gap", "skip", "--blackout", "31 march", "--json")
    assert [time[:10] for time in skipping.document["times"]] == ["2026-03-28", "2026-03-30", "2026-04-01"]
    assert "never fires" in nowhere.call("schedule", "lint", "0 0 30 2 *", code=1).out
    assert "it never runs" in nowhere.call("schedule", "preview", "0 0 30 2 *").out
    refused = nowhere.call("schedule", "preview", "every now and then", code=2)
    assert "not understood in 'every now and then': 'now', 'then'" in refused.err


def test_a_schedule_is_put_in_looked_at_steered_and_removed(shop: Shell) -> None:
    add = ("schedule", "add", "every weekday at 9am Europe/Rome", "send_email", "a@b.c", "--app", "shop")
    put = shop.call(
        *add, "--name", "morning", "--grace", "1h", "--blackout", "25 december", "--json"
    ).document
    assert (put["queue"], put["source"], put["policies"]["grace"]) == ("mail", "cli", 3600.0)
    assert put["blackouts"] == ["25 december"]
    assert "25 december" in shop.call("schedule", "show", "morning").out
    assert "there is a schedule morning" in shop.call(*add, "--name", "morning", code=2).err
    shop.call(*add, "--name", "morning", "--replace", "--overlap", "queue")
    (listed,) = shop.call("schedule", "list", "--json").document
    assert (listed["name"], listed["policies"]["overlap"]) == ("morning", "queue")
    shop.call("schedule", "pause", "morning", "--note", "holidays")
    assert "paused: holidays" in shop.call("schedule", "list").out
    assert "holidays" in shop.call("schedule", "explain", "morning").out
    shop.call("schedule", "resume", "morning")
    job = shop.call("schedule", "run", "morning").word
    shown = shop.call("job", "show", job).out
    assert "morning, for 20" in shown
    assert "schedule morning made it" in shop.call("job", "explain", job).out
    week = ("--from", "2026-11-16T00:00+00:00", "--to", "2026-11-22T00:00+00:00")
    assert len(shop.call("schedule", "backfill", "morning", *week, "--json").document["jobs"]) == 5
    assert shop.call("schedule", "backfill", "morning", *week).out == "0 jobs added\n"
    assert (
        len(shop.call("schedule", "preview", "--name", "morning", "--count", "2", "--json").document["times"])
        == 2
    )
    shop.call("schedule", "remove", "morning")
    assert "there is no schedule morning in namespace" in shop.call("schedule", "show", "morning", code=1).err


def test_the_arguments_of_a_schedule_are_checked_and_so_are_all_schedules_of_a_server(shop: Shell) -> None:
    refused = shop.call("schedule", "add", "every hour", "add", "1", "x", "--app", "shop", code=2)
    assert "b does not fit int" in refused.err
    shop.call("schedule", "add", "every hour", "lost_task", "--queue", "mail")
    shop.call("schedule", "add", "every 5 seconds", "add", "1", "2", "--app", "shop", "--name", "quick")
    found = shop.call("schedule", "lint", "--app", "shop", "--json", code=1).document
    assert found["mail/lost_task"] == ["the App has no task lost_task"]
    assert "12 times a minute" in found["sums/quick"][0]


def test_the_doctor_names_a_schedule_that_nobody_ticks(shop: Shell, valkey: Server) -> None:
    shop.call("schedule", "add", "every hour", "send_email", "a@b.c", "--app", "shop", "--name", "mails")
    assert "mails" not in shop.call("doctor", code=1).out
    valkey.raw.hset("sq:{mail}:schedule:mails", "due_at", 1_700_000_000_000)
    assert "schedule mails has been due for" in shop.call("doctor", code=1).out
