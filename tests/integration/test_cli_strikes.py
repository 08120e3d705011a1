"""``streamq strike`` and ``streamq enqueue --deadline`` as they are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers import Server
from shells import Shell, shell


@pytest.fixture
def shop(tmp_path: Path, valkey: Server) -> Shell:
    return shell(tmp_path, valkey.url)


def test_a_struck_job_waits_through_a_worker_and_runs_when_the_strike_is_removed(shop: Shell) -> None:
    strike = shop.call(
        "strike", "add", "send_email", "--where", "template=bye", "--for", "1h", "--note", "bounces", "--app", "shop",
    ).word  # fmt: skip
    struck = shop.call("enqueue", "send_email", "a@b.c", "template=bye", "--app", "shop").word
    other = shop.call("enqueue", "send_email", "a@b.c", "--app", "shop").word
    shop.run("work", "shop", "--burst", "--workers", "1")
    assert shop.call("job", "show", other, "--json").document["state"] == "completed"
    assert "struck: send_email where template=bye, until 20" in shop.call("job", "explain", struck).out
    [listed] = shop.call("strike", "list", "--json").document
    assert (listed["id"], listed["task"], listed["where"]) == (strike, "send_email", {"template": "bye"})
    assert (listed["waiting"], listed["queues"], listed["note"]) == (1, ["mail"], "bounces")
    assert f"strike {strike}: lift that" in shop.call("job", "promote", struck, code=1).err
    shop.call("strike", "remove", strike)
    shop.run("work", "shop", "--burst", "--workers", "1")
    assert shop.call("job", "show", struck, "--json").document["state"] == "completed"
    assert shop.call("strike", "list", "--json").document == []
    changes = shop.call("queue", "audit", "mail", "--json").document
    assert [change["what"].split()[0] for change in changes] == ["lifted", "struck"]
    assert "@" in changes[0]["by"]


def test_without_an_app_a_strike_is_placed_in_all_queues_or_in_those_that_are_named(shop: Shell) -> None:
    assert "there is no queue yet" in shop.call("strike", "add", "add", code=2).err
    for task, *words in (("send_email", "a@b.c"), ("add", "1", "2")):
        shop.call("enqueue", task, *words, "--app", "shop")
    shop.call("strike", "add", "add")
    narrow = shop.call("strike", "add", "add", "--queue", "sums", "--until", "2099-01-01T00:00").word
    queues = {strike["id"]: strike["queues"] for strike in shop.call("strike", "list", "--json").document}
    assert sorted(queues.values()) == [["mail", "sums"], ["sums"]]
    assert queues[narrow] == ["sums"]
    assert "2099-01-01 00:00:00" in shop.call("strike", "list").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["send_emial"], "did you mean send_email?"),
        (["send_email", "--where", "templat=bye"], "no argument 'templat'; did you mean 'template'?"),
        (["send_email", "--for", "5 bananas"], "is not a duration"),
        (["send_email", "--for", "5m", "--until", "2099-01-01"], "give one of them"),
    ],
)
def test_a_strike_that_could_match_nothing_is_refused(shop: Shell, words: list[str], said: str) -> None:
    assert said in shop.call("strike", "add", *words, "--app", "shop", code=2).err
    assert shop.call("strike", "list", "--json").document == []


def test_a_strike_that_is_not_there_cannot_be_removed(shop: Shell) -> None:
    assert "there is no strike abcd" in shop.call("strike", "remove", "abcd", code=1).err


def test_a_job_that_comes_too_late_says_so_on_the_command_line(shop: Shell) -> None:
    for deadline in ("0.001", "2001-01-01T00:00"):
        job = shop.call("enqueue", "add", "1", "2", "--deadline", deadline, "--app", "shop").word
        shop.run("work", "shop", "--burst", "--workers", "1")
        assert shop.call("job", "explain", job).out.startswith("expired    its deadline was")
