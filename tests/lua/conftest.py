"""A shard with everything in it, reached by plain ``FCALL`` as redis-cli would: strings in, raw replies out."""

from __future__ import annotations

import pytest

from servers import Server
from shards import Shard
from streamq.library import library


@pytest.fixture
def shard(server: Server, anchor: str) -> Shard:
    """An empty shard on a server with the library."""
    server.raw.function_load(library().source)
    return Shard(server.raw, anchor)


@pytest.fixture
def full_shard(shard: Shard) -> Shard:
    """A shard with jobs in every state, and with consumers that are clean, revoked and gone."""
    shard.fill()
    return shard
