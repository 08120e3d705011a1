"""Which of a family of forked processes this is, without a system call: ``os.getpid`` costs 2 µs on some machines."""

from __future__ import annotations

import os

__all__ = ["generation"]

_generation = 0


def generation() -> int:
    """How often this process and those before it have forked: another number than its parent's."""
    return _generation


def _count() -> None:
    global _generation  # noqa: PLW0603 - a fact of the process
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count)
