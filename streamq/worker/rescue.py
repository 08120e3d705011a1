"""Gives back what a stuck process has taken and not begun: its jobs should not wait for a handler that holds its interpreter.

The supervisor does it in the process's name, with a newer generation, so that what the process itself may have under
way does nothing any more. What has begun stays with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamq.engines.base import Engine
from streamq.protocol import Argument
from streamq.protocol.consume import adopt, finish, handed_out, settle
from streamq.worker.page import Page

__all__ = ["release_unbegun"]


def release_unbegun(engine: Engine, anchors: Sequence[str], page: Page) -> int:
    """Release the deliveries of a process that are not in its page; how many. Raises StreamqError."""
    released = 0
    for anchor, section in zip(anchors, page.sections, strict=True):
        begun = {*section.started(), *section.ended()}
        for entitled in section.entitled():
            generation = entitled.generation + 1
            owned = engine.run(adopt(anchor, 0, entitled.id, generation)).groups
            waiting = [
                (level.decode(), row[0].decode())
                for level, rows in handed_out(owned)
                for row in rows
                if f"{level.decode()}-{row[0].decode()}" not in begun
            ]
            settlements: list[Argument] = [
                part for level, entry in waiting[:500] for part in settle("release", level, entry)
            ]
            if settlements:
                engine.run(finish(anchor, 0, entitled.id, generation, settlements))
            released += len(waiting[:500])
    return released
