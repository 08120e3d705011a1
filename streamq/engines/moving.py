"""Places that others keep track of: the master behind sentinels, and the owner of a slot of a cluster.

Both are asked before each connection. A server that turns out to be the wrong one (``MOVED``, ``READONLY``) makes the
engine close its connections, so that the next one is asked for again.
"""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import hiredis

from streamq.config import Config, redacted
from streamq.engines.address import Address, bad_url, hosts
from streamq.engines.connection import Connection
from streamq.engines.failures import Unreachable
from streamq.errors import ServerUnavailable
from streamq.protocol import Argument

__all__ = ["ANY_SLOT", "Sentinels", "SlotOwner", "masters", "slot_of"]

ANY_SLOT = 0
_SLOTS = 16_384


@dataclass(frozen=True, slots=True)
class Sentinels:
    """``sentinel://[user:password@]host:port,host:port/master[/db]``; user and password are those of the master."""

    config: Config

    @property
    def moves(self) -> bool:
        """The master fails over."""
        return True

    def locate(self) -> Address:
        """The master now, from the first sentinel that knows it."""
        url = self.config.url or ""
        master, _, db = urlsplit(url).path.strip("/").partition("/")
        if not master:
            raise bad_url(url, "it names no master; write sentinel://host:26379/mymaster")
        question = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", master)
        for found in _answers(self.config, hosts(url, 26_379), question, Address()):
            if found:
                login = _login(url, f"/{db}" if db else "")
                return replace(login, host=found[0].decode(), port=int(found[1]))
        raise Unreachable(f"no sentinel of {redacted(url)} answers and knows the master {master!r}")


@dataclass(frozen=True, slots=True)
class SlotOwner:
    """The master of one slot behind ``cluster://[user:password@]host:port,host:port``."""

    config: Config
    slot: int

    @property
    def moves(self) -> bool:
        """Slots are moved, and masters fail over."""
        return True

    def locate(self) -> Address:
        """The owner now, from the first node that answers."""
        for first, last, address in _owners(self.config):
            if first <= self.slot <= last:
                return address
        raise Unreachable(f"no node of {redacted(self.config.url or '')} answers and knows slot {self.slot}")


def masters(config: Config) -> list[SlotOwner]:
    """One place for each master of the cluster."""
    slots = {address: first for first, _, address in _owners(config)}
    return [SlotOwner(config, slot) for slot in slots.values()]


def slot_of(key: str) -> int:
    """The slot of a key or an anchor, by its hash tag."""
    _, brace, rest = key.partition("{")
    tag, closing, _ = rest.partition("}")
    return crc_hqx((tag if brace and closing and tag else key).encode(), 0) % _SLOTS


def _owners(config: Config) -> Iterator[tuple[int, int, Address]]:
    """First slot, last slot and master of every range, as one node of the cluster sees it."""
    url = config.url or ""
    login = _login(url, "")
    for ranges in _answers(config, hosts(url, 6379), ("CLUSTER", "SLOTS"), login):
        if not ranges:
            continue
        for first, last, master, *_ in ranges:
            yield first, last, replace(login, host=master[0].decode(), port=master[1])
        return


def _answers(
    config: Config, places: list[tuple[str, int]], question: tuple[Argument, ...], login: Address
) -> Iterator[Any]:
    """What each place answers, in random order; those that do not are passed over."""
    for host, port in random.sample(places, len(places)):
        try:
            node = Connection(
                replace(login, host=host, port=port), config.connect_timeout, config.reply_timeout
            )
            answer = node.ask(*question)
            node.close()
        except ServerUnavailable:
            continue
        if not isinstance(answer, hiredis.ReplyError):
            yield answer


def _login(url: str, path: str) -> Address:
    """User, password and database of a URL with several hosts."""
    user = urlsplit(url).netloc.rpartition("@")[0]
    return Address.parse(f"redis://{user}@127.0.0.1{path}" if user else f"redis://127.0.0.1{path}")
