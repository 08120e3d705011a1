"""The sans-I/O core: operations as data, replies as typed values. One definition of every key, function and answer."""

from __future__ import annotations

from streamq.protocol.call import PROTOCOL, Argument, Call, Flow

__all__ = ["PROTOCOL", "Argument", "Call", "Flow"]
