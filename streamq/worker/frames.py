"""Frames of msgpack over a stream: four bytes of length, then the message."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import msgspec

__all__ = ["frame_of", "read_frame", "send_frame"]

T = TypeVar("T")


def send_frame(writer: asyncio.StreamWriter, message: Any) -> None:
    """Write one message."""
    writer.write(frame_of(message))


def frame_of(message: Any) -> bytes:
    """The bytes of one message."""
    raw = msgspec.msgpack.encode(message)
    return len(raw).to_bytes(4, "big") + raw


async def read_frame(reader: asyncio.StreamReader, kind: type[T]) -> T:
    """Read one message. Raises IncompleteReadError when the other side has gone."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    return msgspec.msgpack.decode(await reader.readexactly(size), type=kind)
