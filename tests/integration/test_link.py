"""A worker's connection: order, messages between answers, loss, and the library that disappears under it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from servers import Server, clean_server
from streamq.config import Config
from streamq.engines.base import Link
from streamq.engines.factory import open_async_engine
from streamq.errors import ConnectionLost, LimitExceeded
from streamq.protocol.enqueue import NewJob
from streamq.protocol.keys import wake_channel
from streamq.queue import Queue

MAIL = Queue("mail")


class Linked:
    """A link and what it has said."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self.lost: list[Exception] = []
        self.is_lost = asyncio.Event()
        self.link: Link

    def on_message(self, channel: bytes, message: bytes) -> None:
        self.messages.put_nowait((channel, message))

    def on_lost(self, error: Exception) -> None:
        self.lost.append(error)
        self.is_lost.set()


@asynccontextmanager
async def linked(config: Config) -> AsyncIterator[Linked]:
    engine, state = open_async_engine(config), Linked()
    state.link = await engine.link(MAIL.anchor, state.on_message, state.on_lost)
    yield state
    state.link.close()
    await engine.close()


def with_link(config: Config, body: Callable[[Linked], Awaitable[None]]) -> None:
    async def main() -> None:
        async with linked(config) as state, asyncio.timeout(20):
            await body(state)

    asyncio.run(main())


@pytest.fixture(params=["valkey", "redis", "memory"])
def config(request: pytest.FixtureRequest) -> Config:
    if request.param == "memory":
        return Config(url=f"memory://{request.node.name}")
    return Config(url=clean_server(request.param, request.getfixturevalue("running")).url)


def test_calls_are_answered_in_their_order(config: Config) -> None:
    async def body(state: Linked) -> None:
        echoes = [state.link.command("ECHO", str(number)) for number in range(1000)]
        assert await asyncio.gather(*echoes) == [str(number).encode() for number in range(1000)]

    with_link(config, body)


def test_an_idle_consumer_is_woken_by_an_enqueue(config: Config) -> None:
    async def body(state: Linked) -> None:
        register, stats = MAIL.register(), MAIL.stats()
        consumer = register.read(await state.link.call(register)).consumer
        channel = wake_channel(MAIL.anchor, consumer)
        await state.link.subscribe(channel)
        pop = MAIL.pop(consumer, 1)
        assert pop.read(await state.link.call(pop)).sleep > 0
        state.link.call(MAIL.push([NewJob("send", b"")]))
        assert await state.messages.get() == (channel.encode(), b"take")
        assert stats.read(await state.link.call(stats))["pending"] == "1"

    with_link(config, body)


def test_a_refusal_fails_its_own_call_only(config: Config) -> None:
    async def body(state: Linked) -> None:
        calls = [state.link.call(MAIL.push([NewJob("send", b"")] * count)) for count in (1, 1001, 2)]
        answers: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [list, LimitExceeded, list]

    with_link(config, body)


def test_a_server_without_functions_wakes_as_well() -> None:
    with Server("redis", extra=("--rename-command", "FUNCTION", "", "--rename-command", "FCALL", "")) as old:
        test_an_idle_consumer_is_woken_by_an_enqueue(Config(url=old.url))


def test_a_lost_connection_fails_what_is_under_way_and_is_told_once(valkey: Server) -> None:
    async def body(state: Linked) -> None:
        waiting = [state.link.command("BLPOP", "nothing", 0), state.link.command("PING")]
        await asyncio.to_thread(valkey.raw.client_kill_filter, _type="normal", skipme=True)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [ConnectionLost, ConnectionLost]
        await state.is_lost.wait()
        with pytest.raises(ConnectionLost):
            await state.link.command("PING")
        assert len(state.lost) == 1

    with_link(Config(url=valkey.url), body)


def test_closing_is_no_loss_but_fails_what_is_under_way(valkey: Server) -> None:
    async def body(state: Linked) -> None:
        waiting = state.link.command("BLPOP", "nothing", 0)
        state.link.close()
        state.link.close()
        with pytest.raises(ConnectionLost):
            await waiting
        assert state.lost == []

    with_link(Config(url=valkey.url), body)


def test_a_server_that_falls_silent_counts_as_lost() -> None:
    with Server("valkey") as own:

        async def body(state: Linked) -> None:
            own.signal(signal.SIGSTOP)
            with pytest.raises(ConnectionLost, match="timed out"):
                await state.link.command("PING")
            await state.is_lost.wait()

        with_link(Config(url=own.url, reply_timeout=0.5), body)


def test_an_idle_link_is_not_given_up(valkey: Server) -> None:
    async def body(state: Linked) -> None:
        for _ in range(3):  # as if the time of three looks had passed
            state.link._look()
        assert await state.link.command("ECHO", "here") == b"here"
        assert state.lost == []

    with_link(Config(url=valkey.url), body)


def test_a_process_that_was_busy_does_not_take_its_own_silence_for_the_servers(valkey: Server) -> None:
    async def body(state: Linked) -> None:
        loop, busy = asyncio.get_running_loop(), asyncio.Event()

        def block() -> None:
            answer = state.link.command("PING")
            answer.add_done_callback(lambda _: busy.set())
            state.link._oldest = state.link._waiting[0]  # as if a look had been while the call was under way
            for _ in range(2):  # two later answers: the first one is on its way
                valkey.raw.ping()
            state.link._look()

        loop.call_soon(block)
        await busy.wait()
        assert state.lost == []

    with_link(Config(url=valkey.url), body)


def test_calls_that_find_the_library_gone_load_it_once_and_are_repeated(valkey: Server) -> None:
    async def body(state: Linked) -> None:
        await asyncio.to_thread(valkey.raw.function_flush, "SYNC")
        valkey.raw.config_resetstat()
        calls = [state.link.call(MAIL.push([NewJob("send", b"")])) for _ in range(5)]
        assert len(await asyncio.gather(*calls)) == 5
        counted = {name.lower(): stat["calls"] for name, stat in valkey.raw.info("commandstats").items()}
        assert counted["cmdstat_function|load"] == 1
        assert valkey.raw.hget("sq:{mail}:meta", "enqueued") == b"5"

    with_link(Config(url=valkey.url), body)


def test_a_caller_that_gave_up_does_not_disturb_the_order(valkey: Server) -> None:
    async def body(state: Linked) -> None:
        first, second = state.link.command("ECHO", "first"), state.link.command("ECHO", "second")
        first.cancel()
        assert await second == b"second"

    with_link(Config(url=valkey.url), body)
