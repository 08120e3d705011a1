"""The examinations of a server for ``streamq doctor``: each reads the vitals and gives one finding, with its remedy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from streamq.cli.function import stamp_on_server
from streamq.cli.session import Session
from streamq.cli.words import duration, size
from streamq.config import Config, Durability, redacted
from streamq.errors import ProtocolError
from streamq.library import Stamp, library

__all__ = ["SERVER_CHECKS", "Finding", "Level", "Vitals"]

_SLOW_MS = 5.0  # a round trip from which on the network is what costs
_CLOCK_MS = 2_000.0
_FULL = 0.8  # part of maxmemory
_PINGS = 20


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a subject, and what to do about it."""

    level: Level
    subject: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What is read of the server once. ``clock_ms``: how far its clock is ahead of ours; ``library`` None: not loaded."""

    config: Config
    info: Mapping[str, str]
    latency_ms: float
    clock_ms: float
    library: Stamp | None
    has_functions: bool

    @classmethod
    def take(cls, session: Session) -> Vitals:
        """Read them. Raises ServerUnavailable."""
        info = _info(session.engine.command("INFO"))
        trips = [_round_trip_ms(session) for _ in range(_PINGS)]
        stamp, has_functions = _library(session)
        return cls(session.config, info, median(trips), _clock_ms(session), stamp, has_functions)

    def number(self, name: str) -> int:
        """A number of INFO; 0 when the server does not say it."""
        text = self.info.get(name, "0")
        return int(text) if text.isdigit() else 0


def _check_version(vitals: Vitals) -> Finding:
    name = "Valkey" if "valkey_version" in vitals.info else "Redis"
    version = vitals.info.get("valkey_version") or vitals.info.get("redis_version", "unknown")
    url = vitals.config.url
    text = f"{name} {version}, {redacted(url) if url else 'the embedded one'}"
    if not vitals.has_functions:
        return Finding(
            Level.WARN,
            "server",
            f"{text} has no functions; scripts are used instead",
            "upgrade to Redis 7 or Valkey",
        )
    return Finding(Level.OK, "server", text)


def _check_role(vitals: Vitals) -> Finding:
    if vitals.info.get("role") == "slave":
        remedy = f"set STREAMQ_URL to its master, {vitals.info.get('master_host')}:{vitals.info.get('master_port')}"
        return Finding(Level.FAIL, "role", "it is a replica, which takes no writes", remedy)
    return Finding(Level.OK, "role", f"master, {vitals.number('connected_slaves')} replicas")


def _check_latency(vitals: Vitals) -> Finding:
    text = f"a round trip takes {duration(vitals.latency_ms)}"
    if vitals.latency_ms > _SLOW_MS:
        return Finding(
            Level.WARN, "latency", text, "put server and workers into one network, or see what blocks it"
        )
    return Finding(Level.OK, "latency", text)


def _check_aof(vitals: Vitals) -> Finding:
    on = vitals.info.get("aof_enabled") == "1"
    if on and vitals.info.get("aof_last_write_status", "ok") != "ok":
        return Finding(
            Level.FAIL, "aof", "the last write to its file failed", "make room on its disk; see its log"
        )
    if on:
        return Finding(Level.OK, "aof", "the append-only file is on")
    level = Level.WARN if vitals.config.durability is Durability.MEMORY else Level.FAIL
    return Finding(
        level,
        "aof",
        "the append-only file is off: a restart of the server loses jobs",
        "CONFIG SET appendonly yes, and the same in its configuration",
    )


def _check_eviction(vitals: Vitals) -> Finding:
    policy = vitals.info.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return Finding(Level.OK, "eviction", "maxmemory-policy is noeviction")
    limited = vitals.number("maxmemory") > 0
    return Finding(
        Level.FAIL if limited else Level.WARN,
        "eviction",
        f"maxmemory-policy is {policy}: {'jobs can be evicted' if limited else 'jobs could be, once maxmemory is set'}",
        "CONFIG SET maxmemory-policy noeviction, and the same in its configuration",
    )


def _check_memory(vitals: Vitals) -> Finding:
    used, most = vitals.number("used_memory"), vitals.number("maxmemory")
    if not most:
        return Finding(Level.OK, "memory", f"{size(used)} used, no limit")
    text = f"{size(used)} of {size(most)} used"
    if used > _FULL * most:
        return Finding(
            Level.WARN, "memory", text, "raise maxmemory, or add workers: a full server takes no new jobs"
        )
    return Finding(Level.OK, "memory", text)


def _check_functions(vitals: Vitals) -> Finding:
    mine, there = library(), vitals.library
    load = 'run "streamq function load"'
    if there is None:
        return Finding(Level.WARN, "functions", f"{mine.name} is not loaded; the first call does it", load)
    text = f"{mine.name} revision {there.revision}"
    if there.revision > mine.revision:
        return Finding(Level.OK, "functions", f"{text}, newer than the {mine.revision} of this installation")
    if there.revision < mine.revision:
        return Finding(
            Level.WARN, "functions", f"{text}, older than the {mine.revision} of this installation", load
        )
    if there.digest != mine.stamp.digest:
        return Finding(
            Level.FAIL,
            "functions",
            f"{text} has another content there ({there.digest}) than here ({mine.stamp.digest})",
            'install the same streamq everywhere, or run "streamq function load --replace"',
        )
    return Finding(Level.OK, "functions", text)


def _check_clock(vitals: Vitals) -> Finding:
    far = abs(vitals.clock_ms)
    text = f"its clock is {duration(far)} {'ahead of' if vitals.clock_ms > 0 else 'behind'} this machine's"
    if far > _CLOCK_MS:
        return Finding(Level.WARN, "clock", text, "run NTP on both; due times mean the server's clock")
    return Finding(Level.OK, "clock", text)


SERVER_CHECKS = (
    _check_version,
    _check_role,
    _check_latency,
    _check_clock,
    _check_aof,
    _check_eviction,
    _check_memory,
    _check_functions,
)


def _info(reply: bytes | str) -> dict[str, str]:
    text = reply.decode() if isinstance(reply, bytes) else reply
    found = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in found if colon}


def _round_trip_ms(session: Session) -> float:
    before = time.perf_counter()
    session.engine.command("PING")
    return (time.perf_counter() - before) * 1000


def _clock_ms(session: Session) -> float:
    before = time.time()
    seconds, micros = session.engine.command("TIME")
    middle = (before + time.time()) / 2
    return (int(seconds) + int(micros) / 1e6 - middle) * 1000


def _library(session: Session) -> tuple[Stamp | None, bool]:
    """The library there, and whether the server has functions at all."""
    try:
        return stamp_on_server(session), True
    except ProtocolError:
        return None, False
