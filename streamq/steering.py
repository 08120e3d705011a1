"""The limits of a queue at run time: what holds, who waits, and changes that take effect at once and need no deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamq.durations import Duration, seconds
from streamq.errors import ConfigError
from streamq.limits.rule import Rule
from streamq.protocol import Call, Flow
from streamq.protocol import limits as protocol
from streamq.protocol.keys import anchor_of
from streamq.protocol.limits import LaneInfo, LimitInfo
from streamq.strikes import somebody

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["Limits", "changed", "stopped"]

_LANES = 1000


class Limits:
    """The limits of one queue, by name: ``openai``, ``tenant:acme``, or ``tenant:*`` for all of a class.

    What is set here wins over the code, word by word, until it is unset. ``by`` is kept in the audit log of the queue; without
    it, the user and host of this process.
    """

    def __init__(self, app: App, queue: str) -> None:
        self._app = app
        self._anchor = anchor_of(app.config.namespace, queue)

    def all(self) -> list[LimitInfo]:
        """All that were declared, set or used, with what holds and how they are."""
        return self._app.follow(protocol.limits(self._anchor, 0))

    async def aall(self) -> list[LimitInfo]:
        """All that were declared, set or used, with what holds and how they are."""
        return await self._app.afollow(protocol.limits(self._anchor, 0))

    def show(self, name: str) -> dict[str, str]:
        """All that the server knows of one, by name; who holds its slots too."""
        return self._app.run(protocol.limit(self._anchor, 0, name))

    async def ashow(self, name: str) -> dict[str, str]:
        """All that the server knows of one, by name; who holds its slots too."""
        return await self._app.arun(protocol.limit(self._anchor, 0, name))

    def set(self, name: str, words: str, *, by: str | None = None) -> None:
        """Say what holds: ``"90_000/min burst 50, slots 3"``, or ``"slots off"``. Raises ConfigError for other words."""
        self._app.follow(changed(self._anchor, name, words, by))

    async def aset(self, name: str, words: str, *, by: str | None = None) -> None:
        """Say what holds: ``"90_000/min burst 50, slots 3"``, or ``"slots off"``. Raises ConfigError for other words."""
        await self._app.afollow(changed(self._anchor, name, words, by))

    def unset(self, name: str, *, by: str | None = None) -> None:
        """What the code says holds again. Raises JobNotFound when nobody has set it."""
        self._app.follow(protocol.unset(self._anchor, 0, name, by or somebody()))

    async def aunset(self, name: str, *, by: str | None = None) -> None:
        """What the code says holds again. Raises JobNotFound when nobody has set it."""
        await self._app.afollow(protocol.unset(self._anchor, 0, name, by or somebody()))

    def stop(self, name: str, for_: Duration, *, by: str | None = None) -> None:
        """Let nothing pass for a time; what runs goes on."""
        self._app.run(stopped(self._anchor, name, for_, by))

    async def astop(self, name: str, for_: Duration, *, by: str | None = None) -> None:
        """Let nothing pass for a time; what runs goes on."""
        await self._app.arun(stopped(self._anchor, name, for_, by))

    def reset(self, name: str, *, by: str | None = None) -> None:
        """Open it: a full bucket, a closed breaker, not stopped."""
        self._app.run(protocol.reset(self._anchor, 0, name, by or somebody()))

    async def areset(self, name: str, *, by: str | None = None) -> None:
        """Open it: a full bucket, a closed breaker, not stopped."""
        await self._app.arun(protocol.reset(self._anchor, 0, name, by or somebody()))

    def lanes(self, most: int = _LANES) -> list[LaneInfo]:
        """The lanes that have jobs, in no order; all of them, or ``most``."""
        return self._app.follow(protocol.lanes(self._anchor, 0, most))[:most]

    async def alanes(self, most: int = _LANES) -> list[LaneInfo]:
        """The lanes that have jobs, in no order; all of them, or ``most``."""
        return (await self._app.afollow(protocol.lanes(self._anchor, 0, most)))[:most]


def changed(anchor: str, name: str, words: str, by: str | None = None) -> Flow[None]:
    """Set a limit to words that people wrote. Raises ConfigError."""
    return protocol.override(anchor, 0, name, Rule.parse(name, words).text, by or somebody())


def stopped(anchor: str, name: str, for_: Duration, by: str | None = None) -> Call[bool]:
    """Stop a limit for a time. Raises ConfigError."""
    ms = round(seconds(for_, "for") * 1000)
    if ms == 0:
        raise ConfigError(f"limit {name}: stopped for {for_!r}, which is no time; give a longer one")
    return protocol.stop(anchor, 0, name, ms, by or somebody())
