"""Turns the statistics of minutes (docs/protocol.md, ``report``) into figures: rates and quantiles by task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from streamq.protocol.inspect import Minute
from streamq.worker.statistics import quantile

__all__ = ["Figures", "Latency", "TaskFigures", "figures_of"]

_MINUTE_MS = 60_000
_COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles in milliseconds, None where nothing was measured."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, buckets: Counter[int]) -> Latency:
        """From counts by bucket."""
        if not buckets:
            return cls()
        return cls(*(quantile(buckets.items(), q) / 1000 for q in (0.5, 0.95, 0.99)))


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """One task: how its jobs ended, how long they waited and ran."""

    task: str
    ended: dict[str, int]
    wait: Latency
    run: Latency


@dataclass(frozen=True, slots=True)
class Figures:
    """One queue: completions a second, quantiles over all tasks, completions of each minute, and its tasks."""

    rate: float
    wait: Latency
    run: Latency
    completed: list[int]
    tasks: list[TaskFigures]


@dataclass(slots=True)
class _Counts:
    ended: Counter[str] = field(default_factory=Counter)
    wait: Counter[int] = field(default_factory=Counter)
    run: Counter[int] = field(default_factory=Counter)


def figures_of(minutes: Sequence[Minute], now_ms: int, shown: int, recent: int) -> Figures:
    """``shown``: how many minutes up to now are counted one by one; ``recent``: over how many quantiles go."""
    current = now_ms // _MINUTE_MS
    by_task = _by_task(minute for minute in minutes if minute.minute > current - recent)
    completed = {minute.minute: _completed(minute) for minute in minutes}
    return Figures(
        _rate(completed, now_ms),
        Latency.of(sum((counts.wait for counts in by_task.values()), Counter())),
        Latency.of(sum((counts.run for counts in by_task.values()), Counter())),
        [completed.get(minute, 0) for minute in range(current - shown + 1, current + 1)],
        [
            TaskFigures(task, dict(counts.ended), Latency.of(counts.wait), Latency.of(counts.run))
            for task, counts in sorted(by_task.items())
        ],
    )


def _rate(completed: dict[int, int], now_ms: int) -> float:
    """Completions a second in this minute and the one before it, if there was anything in it."""
    current, into = now_ms // _MINUTE_MS, now_ms % _MINUTE_MS / 1000
    before = completed.get(current - 1, 0)
    seconds = into + 60 if before else max(into, 1)
    return (completed.get(current, 0) + before) / seconds


def _completed(minute: Minute) -> int:
    return sum(
        count
        for name, count in minute.counts.items()
        if name.startswith("ended:") and name.endswith(f":{_COMPLETED}")
    )


def _by_task(minutes: Iterable[Minute]) -> dict[str, _Counts]:
    """The name of a count is its kind, a task (which may contain colons) and what it counts."""
    found: dict[str, _Counts] = {}
    for minute in minutes:
        for name, count in minute.counts.items():
            kind, _, rest = name.partition(":")
            task, _, what = rest.rpartition(":")
            counts = found.setdefault(task, _Counts())
            if kind == "ended":
                counts.ended[what] += count
            elif kind in {"wait", "run"}:
                (counts.wait if kind == "wait" else counts.run)[int(what)] += count
    return found
