"""Fixtures for all tests: a clean server of each kind, started once for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from servers import KINDS, Server, clean_server


@pytest.fixture(scope="session")
def running() -> Iterator[dict[str, Server]]:
    """The servers of this run by kind; filled by ``server``, stopped at the end."""
    servers: dict[str, Server] = {}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, running: dict[str, Server]) -> Server:
    """A server without keys and functions; every test that asks for it runs on Valkey and on Redis."""
    return clean_server(request.param, running)


@pytest.fixture
def valkey(running: dict[str, Server]) -> Server:
    """A Valkey without keys and functions, for tests in which the kind does not matter."""
    return clean_server("valkey", running)


@pytest.fixture
def anchor() -> str:
    """The key prefix of the shard that tests use."""
    return "sq:{mail}"
