"""Carrying messages from one shard to others: about parents that have ended there, and children that wait here.

The server asks one worker at a time. What cannot be delivered stays, and is asked for again after two seconds; it holds
up no other shard's messages.
"""

from __future__ import annotations

import asyncio

from streamq.engines.base import AsyncEngine
from streamq.errors import StreamqError
from streamq.protocol.flows import Message, hear, letters, outbox, relayed
from streamq.worker.notices import Notices

__all__ = ["Relay"]


class Relay:
    """Carries what lies in the outbox at ``anchor``, once at a time."""

    def __init__(self, anchor: str, namespace: str, engine: AsyncEngine, notices: Notices) -> None:
        self._anchor, self._namespace = anchor, namespace
        self._engine, self._notices = engine, notices
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Carry all there is, beside everything else."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._carry())

    async def close(self) -> None:
        """Come to an end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _carry(self) -> None:
        behind = "0-0"
        try:
            while messages := await self._engine.run(outbox(self._anchor, 0, behind)):
                for letter in letters(messages):
                    await self._deliver(letter)
                behind = messages[-1].id
        except StreamqError as error:
            self._notices.trouble("worker.relay_failed", error=str(error))

    async def _deliver(self, letter: list[Message]) -> None:
        place = letter[0].to
        try:
            await self._engine.run(hear(f"{self._namespace}:{{{place}}}", 0, letter))
            await self._engine.run(relayed(self._anchor, 0, letter))
        except StreamqError as error:
            self._notices.trouble("worker.relay_failed", to=place, error=str(error))
