"""The command ``streamq``: look at queues, steer them, run workers. A verb, or a noun in the singular and then a verb."""

from __future__ import annotations

from streamq.cli.entry import main

__all__ = ["main"]
