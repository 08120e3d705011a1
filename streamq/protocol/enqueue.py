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
_LANE, _LANE_AND_COST = ("lane",), ("lane", "cost")


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
    order = None if len(jobs) == 1 or jobs[0].options[:1] != _LANE else _by_lane(jobs)
    sent = jobs if order is None else [jobs[place] for place in order]
    args: list[Argument] = [now, producer, channel, seq]
    for (task, level, options), alike in [(_KIND(sent[0]), sent)] if len(sent) == 1 else groupby(sent, _KIND):
        bodies = [job.body for job in alike]
        if not options:
            args += (f"{level}*{len(bodies)}" if len(bodies) > 1 else level, task, *bodies)
        elif options[::2] in (_LANE, _LANE_AND_COST):
            args += (f"{level}={len(bodies)}", task, " ".join(map(str, options[1::2])), *bodies)
        else:
            for body in bodies:
                args += (f"{level}:{len(options)}", task, body, *options)
    levels = [job.level for job in sent]
    repeatable = producer != ANONYMOUS
    if order is None:
        return Call("enqueue", anchor, args, lambda reply: _read(reply, levels), repeatable=repeatable)
    return Call(
        "enqueue", anchor, args, lambda reply: _placed(_read(reply, levels), order), repeatable=repeatable
    )


def _by_lane(jobs: Sequence[NewJob]) -> list[int] | None:
    """The places of jobs, those of one lane together and each lane in order: ten lanes in turn cost the server 2.5 times as much.

    None when a job has a unique key: which of two gets it depends on their order (2026-11-24: 6.5 ms and 2.6 ms for 1,000).
    """
    lanes: dict[Argument, list[int]] = {"": []}
    for place, job in enumerate(jobs):
        options = job.options
        if "unique" in options:
            return None
        lanes.setdefault(options[1] if options[:1] == _LANE else "", []).append(place)
    return [place for lane in lanes.values() for place in lane]


def _placed(sent: Enqueued, order: Sequence[int]) -> Enqueued:
    """The answer in the order of the jobs, of which the one at ``order[n]`` was sent as number n."""
    ids = [""] * len(order)
    for place, job in zip(order, sent.ids, strict=True):
        ids[place] = job
    return Enqueued(ids, {order[index]: job for index, job in sent.existing.items()})


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
