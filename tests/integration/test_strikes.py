"""``app.strikes`` and deadlines through the public surface, on a real server and without workers of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from servers import Server
from streamq import App, Expired, State, Task
from streamq.errors import ConfigError, LimitExceeded, UnknownTask


@pytest.fixture
def app(server: Server) -> Iterator[App]:
    with App(server.url) as app:
        yield app


@pytest.fixture
def send(app: App) -> Task[[str, int], None]:
    @app.task(queue="mail")
    async def send(tenant: str, size: int = 1) -> None: ...

    return send


def test_a_strike_is_listed_as_it_was_meant_and_gone_when_it_is_removed(
    app: App, send: Task[[str, int], None]
) -> None:
    strike = app.strikes.add(send, where={"tenant": "acme", "size": 7}, for_="1h", note="bounces", by="anna")
    [listed] = app.strikes.list()
    assert (listed.id, listed.task, listed.where) == (strike, "send", {"tenant": "acme", "size": "7"})
    assert (listed.note, listed.by, listed.queues, listed.waiting) == ("bounces", "anna", ("mail",), 0)
    assert listed.until is not None
    assert timedelta(minutes=59) < listed.until - listed.at <= timedelta(hours=1)
    assert app.strikes.remove(strike)
    assert not app.strikes.remove(strike)
    assert app.strikes.list() == []


def test_all_of_it_is_there_for_event_loops(server: Server) -> None:
    async def steer() -> None:
        async with App(server.url) as app:

            @app.task
            async def ping(who: str) -> None: ...

            strike = await app.strikes.aadd("ping", where={"who": "me"}, queue="other")
            assert await app.strikes.alist() == []
            [listed] = await app.strikes.alist("other")
            assert (listed.id, listed.until, "@" in listed.by) == (strike, None, True)
            assert not await app.strikes.aremove(strike)
            assert await app.strikes.aremove(strike, queue="other")

    asyncio.run(steer())


@pytest.mark.parametrize(
    ("task", "words", "error", "said"),
    [
        ("sned", {}, UnknownTask, "did you mean send?"),
        ("send", {"where": {"tenent": "x"}}, ConfigError, "no argument 'tenent'; did you mean 'tenant'?"),
        ("send", {"for_": "soon"}, ConfigError, "for='soon' is not a duration"),
        ("send", {"for_": 1, "until": datetime(2099, 1, 1, tzinfo=UTC)}, ConfigError, "give one of them"),
        ("send", {"until": datetime(2099, 1, 1)}, ConfigError, "has no time zone"),
        ("send", {"queue": "a b"}, ConfigError, "cannot be the name of a queue"),
        ("send", {"note": "x" * 1025}, LimitExceeded, "note has 1025 bytes"),
    ],
)
def test_a_strike_that_cannot_be_meant_is_refused(
    app: App, send: Task[[str, int], None], task: str, words: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        app.strikes.add(task, **words)
    assert app.strikes.list() == []


def test_a_job_that_was_too_late_raises_expired_with_the_reason(
    app: App, send: Task[[str, int], None]
) -> None:
    job = send.using(deadline=datetime(2001, 1, 1, tzinfo=UTC)).enqueue("acme", 1)
    queue = app.queue("mail")
    app.run(queue.pop(app.run(queue.register()).consumer))
    with pytest.raises(Expired, match=rf"job {job.id} expired: its deadline was .* s ago; it has no result"):
        job.result(timeout=5)
    assert (job.status(), job.info().reason[:17]) == (State.EXPIRED, "its deadline was ")
