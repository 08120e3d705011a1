"""Reading lanes: the ordered list of a job's limit keys, narrow ones first, as in ``tenant:acme|openai*``.

A ``*`` behind a key says that the job's own cost counts there, one token elsewhere; a ``!`` at the end, that the lane goes
by deadline.
"""

from __future__ import annotations

from streamq.limits.keys import QUEUE

__all__ = ["key_named", "keys_of", "metered_keys", "widest_of"]


def keys_of(lane: str) -> list[str]:
    """The keys of a lane, without the marks of those where the cost counts, and of a lane by deadline."""
    return [key.removesuffix("*") for key in lane.removesuffix("!").split("|") if key]


def key_named(lane: str, name: str) -> str | None:
    """The key of a lane with this name, whole (``user:7``) or without its value (``user``); None when it has none."""
    return next((key for key in keys_of(lane) if name in (key, key.partition(":")[0])), None)


def widest_of(lane: str) -> str | None:
    """The last key of a lane, which the most jobs share; not that of the whole queue, unless it is the only one."""
    keys = keys_of(lane)
    return next((key for key in reversed(keys) if key != QUEUE), keys[-1] if keys else None)


def metered_keys(lane: str) -> list[str]:
    """The keys of a lane where the job's own cost counts."""
    return [key[:-1] for key in lane.removesuffix("!").split("|") if key.endswith("*")]
