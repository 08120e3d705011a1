"""``streamq limit`` and ``streamq lane`` as they are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers import Server
from shells import Shell, shell
from streamq import App, Limit


@pytest.fixture
def shop(tmp_path: Path, valkey: Server) -> Shell:
    return shell(tmp_path, valkey.url)


@pytest.fixture
def app(valkey: Server) -> App:
    """Two tenants that wait for a provider, in the queue llm."""
    app = App(valkey.url)
    app.lane("tenant", weight={"acme": 3})

    @app.task(queue="llm", lane="tenant", limits=Limit("openai", "60_000/min burst 5", slots=3))
    def complete(tenant: str) -> None: ...

    app.enqueue_many([complete.call(tenant) for tenant in ("acme", "acme", "acme", "a small one")])
    app.close()
    return app


@pytest.mark.usefixtures("app")
def test_limits_are_listed_shown_changed_stopped_and_given_back_to_the_code(shop: Shell) -> None:
    lines = shop.call("limit", "list").out.splitlines()
    assert lines[0].split() == ["queue", "limit", "rule", "tokens", "used", "waiting", "lanes", "state"]
    assert next(line.split() for line in lines if " openai " in line) == [
        "llm", "openai", "1_000/s", "burst", "5,", "slots", "3", "5", "0/3",
    ]  # fmt: skip
    assert "openai: 90/s, slots 2 in llm" in shop.call("limit", "set", "openai", "90/s,", "slots", "2").out
    shown = shop.call("limit", "show", "openai").out
    assert "rule    90/s burst 5, slots 2" in shown
    assert "code    1_000/s burst 5, slots 3" in shown
    assert "set     90/s, slots 2" in shown
    shop.call("limit", "stop", "openai", "1h")
    assert "closed for 60 m" in shop.call("limit", "list", "--queue", "llm").out
    shop.call("limit", "reset", "openai")
    shop.call("limit", "unset", "openai")
    (document,) = shop.call("limit", "show", "openai", "--json").document
    assert (document["words"], document["closed_until"]) == ("rate=1000 burst=5 slots=3", "0")
    assert [
        change["what"].split()[:3] for change in shop.call("queue", "audit", "llm", "--json").document
    ] == [
        ["limit", "openai", "unset"],
        ["limit", "openai", "reset"],
        ["limit", "openai", "stopped"],
        ["limit", "openai", "set:"],
    ]


@pytest.mark.usefixtures("app")
def test_a_key_of_a_class_is_changed_by_its_own_name(shop: Shell) -> None:
    assert "in llm" in shop.call("limit", "set", "tenant:acme", "slots 1").out
    assert "tenant:acme" in shop.call("limit", "list").out


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("set", "openai", "90/fortnight"), 2, "rate is '90/fortnight'"),
        (("set", "opnai", "90/s"), 2, "say which is meant, with --queue"),
        (("show", "opnai"), 1, '"streamq limit list" shows those that there are'),
        (("unset", "openai"), 1, "nobody has set limit openai"),
        (("stop", "openai", "0s"), 2, "which is no time"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_can(
    shop: Shell, words: tuple[str, ...], code: int, said: str
) -> None:
    assert said in shop.call("limit", *words, code=code).err


@pytest.mark.usefixtures("app")
def test_the_lanes_with_the_most_jobs_come_first(shop: Shell) -> None:
    lines = shop.call("lane", "top").out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["llm", "tenant:acme|openai", "5", "3"],
        ["llm", "tenant:a%20small%20one|openai", "5", "1"],
    ]
    (first, *_) = shop.call("lane", "top", "--limit", "1", "--json").document
    assert (first["lane"], first["weight"], first["where"]) == ("tenant:acme|openai", 3.0, "ring")
    assert len(shop.call("lane", "list", "--json").document) == 2


@pytest.mark.usefixtures("app")
def test_what_waits_in_lanes_is_counted_wherever_queues_are_looked_at(shop: Shell) -> None:
    heading, row = (line.split() for line in shop.call("queue", "list").out.splitlines())
    assert dict(zip(heading[:4], row, strict=False)) == {
        "queue": "llm",
        "pending": "0",
        "waiting": "4",
        "active": "0",
    }
    assert shop.call("top", "--once").out.splitlines()[1].split()[:3] == ["llm", "0", "4"]
    assert "it has no worker; 4 jobs waiting" in shop.call("doctor", code=1).out
    assert len(shop.call("job", "list", "--json").document) == 4
