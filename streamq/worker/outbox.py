"""The outbox: endings of deliveries on their way to the server, and the settlements that are made of them.

Plain completions are one tuple each and go together, a level at a time, with one line for the log of the queue; every
other ending is an ``Ending``. A batch is kept while its call is under way: the server may want a result that it did not
get, or the connection may break, and then the batch is put back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from streamq.errors import StreamqError
from streamq.protocol import Argument
from streamq.protocol.consume import plain, settle
from streamq.protocol.keys import JobId
from streamq.wire import Payloads
from streamq.worker.plan import Plan, keeps
from streamq.worker.rows import LANES, LaneEntry, job_of
from streamq.worker.statistics import SMALL, bucket_of
from streamq.worker.verdict import Fault, Verdict, fault_of

__all__ = ["BATCH", "Batch", "Completion", "Ending", "Outbox"]

BATCH = 500  # deliveries settled in one call
BYTES = 2**20  # of results and texts in one call
LINE = 100  # ids in one line of the log


class Completion(NamedTuple):
    """A plain job that returned. The hot loop makes bare tuples of this form."""

    entry: bytes
    plan: Plan
    started: float
    ended: float
    result: Any


@dataclass(slots=True)
class Ending:
    """How a delivery ended. ``tells_result``: the server wants the result, or keeps it for ``ttl_ms``.

    ``packed``: the result as it is sent. ``name``: the task's, when this process has no plan for it.
    """

    level: bytes
    entry: bytes
    job: str
    plan: Plan | None
    attempt: int
    seconds: float
    verdict: Verdict
    result: Any = None
    ttl_ms: int | None = None
    tells_result: bool = False
    packed: bytes | None = None
    name: str | None = None

    @property
    def task(self) -> str | None:
        """The name of the task, when it is known."""
        return self.plan.name if self.plan else self.name

    @property
    def local_id(self) -> str:
        """The job's id inside its shard: what its result and its error are sealed for."""
        return JobId.parse(self.job).local


@dataclass(slots=True)
class Batch:
    """What one call settles. ``arguments`` is what the call sends."""

    arguments: list[Argument] = field(default_factory=list)
    completions: dict[bytes, list[Completion]] = field(default_factory=dict)
    endings: list[Ending] = field(default_factory=list)
    size: int = 0


class Outbox:
    """The endings of one consumer's deliveries.

    ``place`` stands in front of its jobs' ids; payloads are bound to ``queue``. ``on_completion`` is told of each plain
    completion when it is sent; None: nobody listens. ``on_failure`` is told of those whose result cannot be sent.
    """

    def __init__(
        self,
        queue: str,
        place: str,
        payloads: Payloads,
        on_completion: Callable[[Ending], None] | None = None,
        on_failure: Callable[[Ending], None] | None = None,
    ) -> None:
        self._queue, self._place, self._payloads = queue, place, payloads
        self._on_completion, self._on_failure = on_completion, on_failure
        self._plain: dict[bytes, list[Completion]] = {}
        self._endings: deque[Ending] = deque()

    def plain(self, level: bytes) -> list[Any]:
        """The list that takes the completions of plain jobs of a level; it stays the same list."""
        return self._plain.setdefault(level, [])

    def add(self, ending: Ending) -> None:
        """Any other ending, one with an outcome that can be settled."""
        self._endings.append(ending)

    def __len__(self) -> int:
        return sum(map(len, self._plain.values())) + len(self._endings)

    def entries(self) -> set[tuple[bytes, bytes]]:
        """The deliveries that have ended and are not settled."""
        found = {(level, done[0]) for level, items in self._plain.items() for done in items}
        return found | {(ending.level, ending.entry) for ending in self._endings}

    def keep(self, owned: set[tuple[bytes, bytes]]) -> None:
        """Forget the endings of deliveries that are not the consumer's any more."""
        for level, items in self._plain.items():
            items[:] = [item for item in items if (level, item[0]) in owned]
        self._endings = deque(e for e in self._endings if (e.level, e.entry) in owned)

    def drain(self, mono_offset: float, most: int = BATCH) -> Batch:
        """Take ``most`` of what one call can settle. ``mono_offset``: the shard's clock less this process's, in seconds."""
        batch = Batch()
        for level, items in self._plain.items():
            if items and batch.size < most:
                taken = items[: most - batch.size]
                del items[: len(taken)]
                self._add_plain(batch, level, taken, mono_offset)
        left = BYTES
        while self._endings and batch.size < most and left > 0:
            ending = self._endings.popleft()
            arguments = self._settlement(ending)
            left -= sum(len(part) for part in arguments if isinstance(part, str | bytes))
            batch.arguments += arguments
            batch.endings.append(ending)
            batch.size += 1
        return batch

    def seal(self, ending: Ending) -> bool:
        """Pack the result. When that cannot be sent, the job is dead, whether or not anybody wants the result."""
        if ending.plan is None:
            return True
        try:
            ending.packed = self._payloads.pack_result(
                self._queue, ending.plan.name, ending.result, ending.local_id
            )
        except StreamqError as error:
            ending.tells_result = False
            ending.verdict = Verdict("dead", reason="its result cannot be sent", fault=fault_of(error))
        return ending.packed is not None

    def put_back(self, batch: Batch) -> None:
        """The outcome of the batch's call is unknown; its endings will be settled again.

        What was counted is not counted again, so plain completions come back as endings of their own.
        """
        for level, items in batch.completions.items():
            self._endings.extend(self._ending_of(level, Completion(*item)) for item in items)
        self._endings.extend(batch.endings)

    def want(self, batch: Batch, wanted: Sequence[tuple[str, str]]) -> None:
        """Somebody waits for these results: they are settled again, with the result."""
        if not wanted:
            return
        names = {(level.encode(), entry.encode()) for level, entry in wanted}
        for level, items in batch.completions.items():
            for done in items:
                if (level, done[0]) in names:
                    self._endings.append(self._ending_of(level, Completion(*done), tells_result=True))
        for ending in batch.endings:
            if (ending.level, ending.entry) in names:
                ending.tells_result = True
                self._endings.append(ending)

    def _add_plain(self, batch: Batch, level: bytes, items: list[Completion], mono_offset: float) -> None:
        """What has no result goes together; other results are endings of their own."""
        plains = [item for item in items if item[4] is None and not item[1].keeps]
        if len(plains) < len(items):
            plains = self._sort_results(level, items, mono_offset)
        tasks = _counted(plains, mono_offset)
        if self._on_completion:
            for item in plains:
                self._on_completion(self._ending_of(level, Completion(*item)))
        if plains:
            entries = [item[0] for item in plains]
            jobs = [job_of(level, entry) for entry in entries] if level == LANES else ()
            batch.arguments += plain(level.decode(), entries, _line(level, tasks, entries), jobs)
            batch.completions[level] = plains
            batch.size += len(plains)

    def _sort_results(self, level: bytes, items: list[Completion], mono_offset: float) -> list[Completion]:
        """Endings of those whose result is kept, or cannot be sent; the others are returned."""
        plains: list[Completion] = []
        kept: list[Completion] = []
        for item in items:
            if item[4] is None and not item[1].keeps:
                plains.append(item)
                continue
            ending = self._ending_of(level, Completion(*item), tells_result=True)
            if not self.seal(ending):
                self._failed(ending)
            elif ending.ttl_ms is None:
                plains.append(item)
            else:
                kept.append(item)
                self._endings.append(ending)
                if self._on_completion:
                    self._on_completion(ending)
        _counted(kept, mono_offset)
        return plains

    def _failed(self, ending: Ending) -> None:
        """A handler returned what cannot be sent."""
        if ending.plan is not None:
            ending.plan.tally.single("dead", ending.seconds)
        if self._on_failure:
            self._on_failure(ending)
        self._endings.append(ending)

    def _ending_of(self, level: bytes, done: Completion, *, tells_result: bool = False) -> Ending:
        job = f"{self._place}-{job_of(level, done.entry).decode()}"
        seconds = done.ended - done.started
        ttl_ms = done.plan.ttl_ms if keeps(done.plan.options, done.result) else None
        verdict = Verdict("done")
        return Ending(
            level, done.entry, job, done.plan, 1, seconds, verdict, done.result, ttl_ms, tells_result
        )

    def _settlement(self, ending: Ending) -> list[Argument]:
        if ending.tells_result and ending.packed is None:
            self.seal(ending)
        pairs = self._pairs(ending)
        if ending.tells_result and ending.packed is not None:
            pairs += ("result", ending.packed)
        return settle(cast("str", ending.verdict.outcome), ending.level, ending.entry, pairs)

    def _pairs(self, ending: Ending) -> list[Argument]:
        verdict, pairs = ending.verdict, list[Argument]()
        if verdict.delay is not None:
            pairs += ("delay", round(verdict.delay * 1000))
        if verdict.outcome == "done" and ending.ttl_ms is not None:
            pairs += ("ttl", ending.ttl_ms)
        if verdict.waits_for:
            pairs += ("for", verdict.waits_for)
        if verdict.reason:
            pairs += ("reason", verdict.reason)
        if verdict.limit:
            pairs += ("limit", verdict.limit)
        if verdict.neutral:
            pairs += ("neutral", 1)
        if verdict.fault:
            pairs += self._fault(verdict.fault, ending)
        return pairs

    def _fault(self, fault: Fault, ending: Ending) -> list[Argument]:
        task = ending.plan.name if ending.plan else "?"
        error = self._payloads.pack_error(self._queue, task, fault.type_name, fault.text, ending.local_id)
        if not fault.traceback:
            return ["error", error]
        trace = self._payloads.pack_traceback(self._queue, task, fault.traceback, ending.local_id)
        return ["error", error, "traceback", trace]


def _counted(items: list[Completion], mono_offset: float) -> dict[Plan, int]:
    """Tell the tallies of completions, many at once: 0.4 µs a job (2026-11-24). How many there are of each task."""
    tasks: dict[Plan, int] = {}
    last_ms, put_in = b"", 0.0
    last_plan, runs, waits = None, list[int](), list[int]()
    for entry, plan, started, ended, _ in _by_birth(items):
        ms = entry[: entry.find(b"-")]
        if ms != last_ms:
            last_ms, put_in = ms, int(ms) / 1000 - mono_offset
        if plan is not last_plan:
            last_plan, runs, waits = plan, plan.tally.run.counts, plan.tally.wait.counts
        ran, waited = int((ended - started) * 1e6), int((started - put_in) * 1e6)
        runs[SMALL[ran] if 0 <= ran < 4096 else bucket_of(ran)] += 1
        waits[SMALL[waited] if 0 <= waited < 4096 else bucket_of(waited)] += 1
        tasks[plan] = tasks.get(plan, 0) + 1
    for plan, count in tasks.items():
        plan.tally.ended("completed", count)
    return tasks


def _by_birth(items: list[Completion]) -> Iterable[Completion]:
    """The same, but an entry of a lane, which is made when its job is given, is that of when the job was put in."""
    if not items or not isinstance(items[0][0], LaneEntry):
        return items
    return (Completion(job_of(LANES, item[0])[2:], *item[1:]) for item in items)


def _line(level: bytes, tasks: dict[Plan, int], entries: list[bytes]) -> bytes:
    """``send_email*2 5-1732448000000-0 …``: what the batch was, for people, and which jobs, for a look-up."""
    what = ",".join(f"{plan.name}*{count}" for plan, count in tasks.items()).encode()
    more = b" and %d more" % (len(entries) - LINE) if len(entries) > LINE else b""
    if level == LANES:
        return what + b" " + b" ".join([job_of(level, entry) for entry in entries[:LINE]]) + more
    return what + b" " + level + b"-" + (b" " + level + b"-").join(entries[:LINE]) + more
