"""Opens the engine that a configuration asks for. Nothing is connected before an engine is first used."""

from __future__ import annotations

from streamq.config import Config
from streamq.engines.address import Address, scheme
from streamq.engines.base import AsyncEngine, Engine
from streamq.engines.place import Fixed, Place

__all__ = ["open_async_engine", "open_engine"]

_EMBEDDED = "embedded://"


def open_engine(config: Config) -> Engine:
    """The engine for threads. Raises ConfigError when the URL cannot be used."""
    match _scheme(config):
        case "memory":
            from streamq.engines.memory import MemoryEngine

            return MemoryEngine(config)
        case "cluster":
            from streamq.engines.cluster import ClusterEngine

            return ClusterEngine(config)
    from streamq.engines.redis import RedisEngine

    return RedisEngine(config, _place(config))


def open_async_engine(config: Config) -> AsyncEngine:
    """The engine for one event loop. Raises ConfigError when the URL cannot be used."""
    match _scheme(config):
        case "memory":
            from streamq.engines.memory import AsyncMemoryEngine

            return AsyncMemoryEngine(config)
        case "cluster":
            from streamq.engines.cluster import AsyncClusterEngine

            return AsyncClusterEngine(config)
    from streamq.engines.async_redis import AsyncRedisEngine

    return AsyncRedisEngine(config, _place(config))


def _scheme(config: Config) -> str:
    return scheme(config.url or _EMBEDDED)


def _place(config: Config) -> Place:
    match _scheme(config):
        case "embedded":
            from streamq.engines.embedded import Embedded

            return Embedded(config)
        case "sentinel":
            from streamq.engines.moving import Sentinels

            return Sentinels(config)
    return Fixed(Address.parse(config.url or ""))
