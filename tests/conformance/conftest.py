"""Every engine under one suite: the places that a URL can lead to, each through the blocking and the awaited engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import Awaited, Blocking, Driver
from servers import Server, clean_server
from streamq.config import Config
from streamq.engines import embedded
from streamq.queue import Queue

PLACES = ("valkey", "redis", "tcp", "scripts", "embedded", "memory")
SHELLS = {"blocking": Blocking, "awaited": Awaited}


@pytest.fixture(scope="session")
def special() -> Iterator[dict[str, Server]]:
    """Servers with other options than the shared ones, by place."""
    servers: dict[str, Server] = {}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project folder with an embedded server."""
    folder = tmp_path_factory.mktemp("project")
    yield folder
    embedded.stop(Config(project=folder))


@pytest.fixture(params=PLACES)
def config(request: pytest.FixtureRequest) -> Config:
    """Where the engine of this test leads."""
    place: str = request.param
    if place == "memory":
        return Config(url="memory://conformance")
    if place == "embedded":
        return Config(project=request.getfixturevalue("project"))
    if place in {"valkey", "redis"}:
        return Config(url=clean_server(place, request.getfixturevalue("running")).url)
    servers: dict[str, Server] = request.getfixturevalue("special")
    if place not in servers:
        servers[place] = _tcp() if place == "tcp" else _scripts()
    return Config(url=servers[place].tcp_url if place == "tcp" else servers[place].url)


@pytest.fixture(params=SHELLS)
def driver(request: pytest.FixtureRequest, config: Config) -> Iterator[Driver]:
    """An engine on a server without keys."""
    opened: Driver = SHELLS[request.param](config)
    opened.command("FLUSHALL")
    yield opened
    opened.close()


@pytest.fixture
def queue() -> Queue:
    """The queue of this test."""
    return Queue("mail")


def _tcp() -> Server:
    return Server("valkey", tcp=True, password="pass:w@rd/").start()


def _scripts() -> Server:
    """A server like Redis 6: it has no functions."""
    return Server(
        "redis", extra=("--rename-command", "FUNCTION", "", "--rename-command", "FCALL", "")
    ).start()
