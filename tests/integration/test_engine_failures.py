"""Every way in which a server can fail a call, and the typed error with its remedy that comes of it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from drivers import Awaited, Blocking, Driver
from servers import Server, free_port, until
from streamq.config import Config, Durability
from streamq.engines.address import Address
from streamq.engines.connection import Connection
from streamq.engines.factory import open_async_engine, open_engine
from streamq.errors import (
    ConfigError,
    ConnectionLost,
    NotSupported,
    OutOfMemory,
    ProtocolError,
    ReadOnlyServer,
    ServerUnavailable,
)
from streamq.protocol import Call
from streamq.protocol.enqueue import NewJob
from streamq.queue import Queue

SHELLS = {"blocking": Blocking, "awaited": Awaited}
MAIL = Queue("mail")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> type[Blocking | Awaited]:
    """Both kinds of engine; errors are the same."""
    return SHELLS[request.param]


@pytest.fixture
def driver(shell: type[Blocking | Awaited], server: Server) -> Iterator[Driver]:
    """An engine that has been connected."""
    opened = shell(Config(url=server.url))
    opened.run(MAIL.stats())
    yield opened
    opened.close()


def named(count: int) -> Call[object]:
    """An enqueue that may be repeated."""
    return MAIL.push([NewJob("send", b"")], producer="p" * 32, channel=1, seq=count)


def failure(shell: type[Blocking | Awaited], url: str, kind: type[Exception]) -> str:
    """What a first call on that URL says."""
    opened = shell(Config(url=url))
    with pytest.raises(kind) as caught:
        opened.run(MAIL.stats())
    opened.close()
    return str(caught.value)


def test_a_server_that_is_away_is_said_in_two_lines(shell: type[Blocking | Awaited]) -> None:
    port = free_port()
    assert failure(shell, f"redis://:secret@127.0.0.1:{port}", ServerUnavailable) == (
        f"cannot reach redis://127.0.0.1:{port} (connection refused).\n"
        "Start a server there, or correct --url or STREAMQ_URL."
    )
    assert "(no such file or directory)" in failure(shell, "unix:///nowhere/socket", ServerUnavailable)
    assert "(unknown host)" in failure(shell, "redis://no.such.host.invalid", ServerUnavailable)


def test_a_server_that_reads_nothing_is_unreachable_when_its_socket_is_full() -> None:
    with Server("valkey") as own:
        connection = Connection(Address.parse(own.url), connect_timeout=5.0, reply_timeout=0.2)
        own.signal(signal.SIGSTOP)
        with pytest.raises(ServerUnavailable, match="timed out"):
            send_many(connection)
        own.signal(signal.SIGCONT)


def send_many(connection: Connection) -> None:
    for _ in range(1000):
        connection.send(("ECHO", b"x" * 1000))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://host", "its scheme is 'http'; known are redis://, rediss://, unix://"),
        ("host:6379", "its scheme is ''"),
        ("redis://host:port", "port"),
        ("redis://host/one", "'one' is not a number"),
        ("unix://", "it names no socket"),
        ("rediss://host?verify=no", "unknown options verify"),
    ],
)
def test_a_wrong_url_is_refused_when_the_engine_is_opened(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        open_engine(Config(url=url))


def test_a_missing_and_a_wrong_password_are_told_apart(shell: type[Blocking | Awaited]) -> None:
    with Server("valkey", password="right") as locked:
        said = failure(shell, f"unix://{locked.socket}", ServerUnavailable)
        assert "asks for a password. Put it into STREAMQ_URL" in said
        said = failure(shell, f"unix://:wr0ng@{locked.socket}", ServerUnavailable)
        assert "refuses the user or the password of STREAMQ_URL" in said
        assert "wr0ng" not in said


def test_a_user_without_the_right_is_told_so(driver: Driver, server: Server) -> None:
    server.raw.acl_setuser("guest", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-get"])
    driver.command("AUTH", "guest", "any")
    with pytest.raises(ServerUnavailable, match="does not allow this user"):
        driver.command("GET", "a")
    driver.command("AUTH", "default", "")
    server.raw.acl_deluser("guest")


def test_a_full_server_takes_no_jobs_and_is_drained(driver: Driver, server: Server) -> None:
    driver.run(named(1))
    consumer = driver.run(MAIL.register()).consumer
    server.raw.config_set("maxmemory", "1")
    try:
        with pytest.raises(OutOfMemory, match="raise maxmemory"):
            driver.run(named(2))
        taken = driver.run(MAIL.pop(consumer, 1))
        assert len(taken.groups) == 2
    finally:
        server.raw.config_set("maxmemory", "0")


def test_a_replica_is_not_written_to(driver: Driver, server: Server) -> None:
    server.raw.execute_command("REPLICAOF", "127.0.0.1", free_port())
    try:
        with pytest.raises(ReadOnlyServer, match="set STREAMQ_URL to its master"):
            driver.run(named(1))
        assert driver.run(MAIL.stats())["enqueued"] == "0"
    finally:
        server.raw.execute_command("REPLICAOF", "NO", "ONE")


def test_a_master_without_its_replicas_says_so(driver: Driver, server: Server) -> None:
    server.raw.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(ReadOnlyServer, match="min-replicas-to-write"):
            driver.run(named(1))
    finally:
        server.raw.config_set("min-replicas-to-write", 0)


def test_what_the_server_does_not_know_is_a_protocol_error(driver: Driver) -> None:
    with pytest.raises(ProtocolError, match="answered: ERR unknown command"):
        driver.command("NOSUCHCOMMAND")


def test_a_repeatable_call_survives_a_restart_and_adds_one_job(shell: type[Blocking | Awaited]) -> None:
    with Server("valkey", aof=True, extra=("--appendfsync", "always")) as own:
        driver = shell(Config(url=own.url))
        first = driver.run(named(1))
        own.kill()
        restart = threading.Timer(0.2, own.start)
        restart.start()
        assert driver.run(named(1)) == first
        restart.join()
        assert driver.run(MAIL.stats())["enqueued"] == "1"
        driver.close()


@pytest.mark.parametrize("over", ["socket", "port"])
def test_a_server_that_takes_no_more_connections_is_tried_again_and_the_error_has_the_remedy(
    shell: type[Blocking | Awaited], over: str
) -> None:
    with Server("valkey", tcp=True) as own:
        url = own.url if over == "socket" else own.tcp_url
        own.raw.config_set("maxclients", 1)
        impatient = shell(Config(url=url, reconnect_for=0.001))
        for _ in range(20):
            with pytest.raises(
                ServerUnavailable, match="no room for another connection: raise its maxclients"
            ):
                impatient.run(MAIL.stats())
        impatient.close()
        refused = own.raw.info("stats")["rejected_connections"]

        def make_room() -> None:
            until(lambda: own.raw.info("stats")["rejected_connections"] > refused, "a refusal")
            own.raw.config_set("maxclients", 10)

        operator = threading.Thread(target=make_room)
        operator.start()
        driver = shell(Config(url=url))
        assert driver.run(named(1)).ids
        operator.join()
        assert driver.run(MAIL.stats())["enqueued"] == "1"
        driver.close()


def test_what_could_not_be_sent_is_sent_again_whatever_it_is() -> None:
    with Server("valkey", aof=True, extra=("--appendfsync", "always")) as own:
        driver = Blocking(Config(url=own.url))  # an event loop hears of a loss before its next call
        consumer = driver.run(MAIL.register()).consumer
        own.restart()
        assert driver.run(MAIL.pop(consumer, 1)).groups == []
        own.restart()
        assert driver.command("ECHO", "again") == b"again"
        driver.close()


def test_a_call_that_must_not_be_repeated_says_that_its_outcome_is_unknown(
    shell: type[Blocking | Awaited],
) -> None:
    with Server("valkey") as own:
        driver = shell(Config(url=own.url))
        consumer = driver.run(MAIL.register()).consumer
        own.signal(signal.SIGSTOP)
        kill = threading.Timer(0.2, own.kill)
        kill.start()
        with pytest.raises(ConnectionLost, match="may have been executed"):
            driver.run(MAIL.pop(consumer, 1))
        kill.join()
        driver.close()


def test_a_server_that_falls_silent_does_not_hang_the_caller(shell: type[Blocking | Awaited]) -> None:
    with Server("valkey") as own:
        driver = shell(Config(url=own.url, reply_timeout=0.5, reconnect_for=0.1))
        driver.run(MAIL.stats())
        own.signal(signal.SIGSTOP)
        with pytest.raises(ServerUnavailable, match="timed out"):
            driver.run(MAIL.register())
        own.signal(signal.SIGCONT)
        assert driver.run(MAIL.stats())["enqueued"] == "0"
        driver.close()


def test_who_does_not_speak_resp3_is_refused_with_what_is_needed(
    shell: type[Blocking | Awaited],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(100)
                client.sendall(b"-ERR unknown command 'HELLO'\r\n")
                client.recv(100)

        thread = threading.Thread(target=answer)
        thread.start()
        said = failure(shell, f"redis://127.0.0.1:{listener.getsockname()[1]}", NotSupported)
        thread.join()
    assert "needs Redis 6 or later" in said


def test_waiting_for_an_element_ends_when_the_engine_is_closed(valkey: Server) -> None:
    engine = open_engine(Config(url=valkey.url))
    errors: list[Exception] = []

    def listen() -> None:
        try:
            engine.receive("nothing", 30)
        except ConnectionLost as error:
            errors.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    until(lambda: valkey.raw.info("clients")["blocked_clients"], "the thread waits")
    engine.close()
    thread.join(5)
    assert len(errors) == 1


def test_a_child_process_opens_connections_of_its_own(valkey: Server) -> None:
    script = (
        "import os, sys; from streamq.config import Config; from streamq.engines.factory import open_engine; "
        "engine = open_engine(Config(url=sys.argv[1])); ask = lambda: engine.command('CLIENT', 'ID'); first = ask(); "
        "child = os.fork(); os.write(1, f'{first} {ask()}\\n'.encode()); child and os.waitpid(child, 0)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, valkey.url], capture_output=True, text=True, check=True
    ).stdout
    (first, parent), (_, child) = sorted(
        (line.split() for line in said.splitlines()), key=lambda ids: ids[0] != ids[1]
    )
    assert first == parent != child


def test_threads_share_an_engine(valkey: Server) -> None:
    engine = open_engine(Config(url=valkey.url))
    answers: dict[int, object] = {}

    def ask(number: int) -> None:
        for _ in range(50):
            answers[number] = engine.command("ECHO", str(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close()
    assert answers == {number: str(number).encode() for number in range(8)}


def test_tasks_share_a_connection(valkey: Server) -> None:
    async def ask() -> tuple[list[object], list[object]]:
        engine = open_async_engine(Config(url=valkey.url))
        echoes = await asyncio.gather(*[engine.command("ECHO", str(number)) for number in range(100)])
        clients = await asyncio.gather(*[engine.command("CLIENT", "ID") for _ in range(10)])
        await engine.close()
        return echoes, clients

    echoes, clients = asyncio.run(ask())
    assert echoes == [str(number).encode() for number in range(100)]
    assert len(set(clients)) == 1


@pytest.mark.parametrize("level", [Durability.REPLICATED, Durability.FSYNCED])
def test_a_level_is_reported_only_when_the_server_has_confirmed_it(
    shell: type[Blocking | Awaited], level: Durability
) -> None:
    with (
        Server("valkey", aof=True, tcp=True, extra=("--repl-diskless-sync-delay", "0")) as own,
        Server("valkey", extra=("--replicaof", "127.0.0.1", str(own.port))) as replica,
    ):
        driver = shell(Config(url=own.url, reply_timeout=4))
        until(lambda: replica.raw.info("replication")["master_link_status"] == "up", "the replica is in step")
        assert driver.run_durably(named(1), level).reached is level
        replica.signal(signal.SIGSTOP)
        if level is Durability.REPLICATED:
            assert driver.run_durably(named(2), level).reached is Durability.AOF
        assert driver.run(MAIL.stats())["enqueued"] == ("2" if level is Durability.REPLICATED else "1")
        driver.close()


def test_a_server_without_waitaof_claims_no_fsync(shell: type[Blocking | Awaited]) -> None:
    with Server("redis", aof=True) as own:
        driver = shell(Config(url=own.url))
        assert driver.run_durably(named(1), Durability.FSYNCED).reached is Durability.AOF
        driver.close()
