"""Putting jobs in: one call for a batch, answered by runs of consecutive ids."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from streamq.protocol.call import Argument, Call
from streamq.protocol.replies import integer, parts, text, twos, unexpected

__all__ = ["ANONYMOUS", "DEFAULT_LEVEL", "MAX_BATCH", "Enqueued", "NewJob", "enqueue"]

ANONYMOUS = "-"  # a producer without a name: its calls are not checked for repetition
DEFAULT_LEVEL = 5
MAX_BATCH = 1000
_KIND = attrgetter("task", "level", "options")


class NewJob(NamedTuple):
    """One job of a batch. ``options`` is flat: name, value, name, value … (docs/protocol.md, enqueue).

    Where ``lane`` (and ``cost``) is all they say, they come first and alone: such jobs go many together.
    """

    task: str
    body: bytes
    level: int = DEFAULT_LEVEL
    options: tuple[Argument, ...] = ()


class Enqueued(NamedTuple):
    """``ids`` in the order of the jobs, local to the shard; ``existing``: index → the job that held the unique key."""

    ids: list[str]
    existing: dict[int, str]


def enqueue(
    anchor: str, now: int, producer: str, channel: int, seq: int, jobs: Sequence[NewJob]
) -> Call[Enqueued]:
    """Add a batch of at most 1,000 jobs, once, however often the call is repeated.

    ``producer`` with ``channel`` and ``seq`` names the call (RULES: one call at a time in each channel). Raises
    ``UniqueConflict`` when a job with ``on_conflict reject`` meets a holder; then nothing was added.
    """
    args: list[Argument] = [now, producer, channel, seq]
    groups = [(_KIND(jobs[0]), jobs)] if len(jobs) == 1 else groupby(jobs, _KIND)
    for (task, level, options), alike in groups:
        bodies = [job.body for job in alike]
        if (
            options
            and options[0] == "lane"
            and (len(options) == 2 or (options[2:3] == ("cost",) and len(options) == 4))
        ):
            args += (f"{level}={len(bodies)}", task, " ".join(map(str, options[1::2])), *bodies)
        elif options:
            for body in bodies:
                args += (f"{level}:{len(options)}", task, body, *options)
        else:
            args += (f"{level}*{len(bodies)}" if len(bodies) > 1 else level, task, *bodies)
    levels = [job.level for job in jobs]
    return Call("enqueue", anchor, args, lambda reply: _read(reply, levels), repeatable=producer != ANONYMOUS)


def _read(reply: Any, levels: Sequence[int]) -> Enqueued:
    runs, conflicts = parts(reply, 2)[:2]
    ids = _ids(runs, levels)
    if conflicts == []:
        return Enqueued(ids, {})
    existing = {integer(index): text(job) for index, job in twos(conflicts)}
    if not all(0 <= index < len(ids) for index in existing):
        raise unexpected(conflicts, f"places of {len(ids)} jobs")
    for index, job in existing.items():
        ids[index] = job
    return Enqueued(ids, existing)


def _ids(runs: Any, levels: Sequence[int]) -> list[str]:
    """Of the jobs with these levels, from ``<ms>-<seq> <count> …``."""
    words, ids, told = text(runs).split(), list[str](), 0
    try:
        each = iter(words)
        for first in each:
            ms, _, seq = first.partition("-")
            count, number = int(next(each)), int(seq)
            here = levels[told : told + count]
            ids += [f"{level}-{ms}-{number + place}" for place, level in enumerate(here)]
            told = told + count if count > 0 else len(levels) + 1
    except (ValueError, StopIteration):
        told = -1
    if not told == len(ids) == len(levels):
        raise unexpected(runs, f"the ids of {len(levels)} jobs")
    return ids
