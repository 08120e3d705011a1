"""What a job does in steps, as conversations with its journal: nothing here waits, runs a step or knows a socket.

A conversation is a generator. It yields what it wants, an ``Ask`` of the server, ``Own`` code of the handler, or ``QUIET``
(that no step is under way any more), and is sent the answer; ``steps`` has the two shells that carry them, awaited and blocking.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from streamq.errors import SignalTimeout, WrongCall
from streamq.protocol.journal import Ask, Awaited, await_, journal, recall
from streamq.wire.convert import result_type

__all__ = ["QUIET", "REQUIRED", "Conversation", "Desk", "Journal", "Move", "Own", "Reading", "Suspended"]

R = TypeVar("R")
NAME_MAX = 200  # bytes
CHECKPOINT_AFTER = 1.0  # seconds


class Suspended(BaseException):
    """Ends the handler of a job that waits for the outside: it runs again, from the start, when that has come.

    Not an Exception, so that no handler catches it by accident; one that does is over all the same.
    """


class _Required:
    """There is no default."""


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Own:
    """Code of the handler that is to be run; what it returns is awaited where it can be."""

    run: Callable[[], Any]


class Quiet:
    """That the steps which run beside a wait are noted: else they would be cut off, and run again."""


QUIET = Quiet()
Move = Ask | Own | Quiet
Conversation = Generator[Move, Any, R]


class Desk(Protocol):
    """Where a running job deals with the server. Values are sealed for their field of the journal."""

    def pack(self, field: str, value: object) -> bytes:
        """The body of a value. Raises WrongCall and PayloadTooLarge."""
        ...

    def unpack(self, field: str, body: bytes, kind: Any) -> Any:
        """The value, as ``kind`` says. Raises BadPayload and KeyMissing."""
        ...

    async def carry(self, ask: Ask) -> Any:
        """The answer; ends the handler when the delivery is somebody else's."""
        ...

    def carry_blocking(self, ask: Ask) -> Any:
        """The same in a thread of the handler."""
        ...

    def suspend(self, what: str) -> None:
        """From now on the job waits for ``what``, whatever its handler still does."""


class Journal:
    """The journal of one run of a job. ``desk`` is where it deals with the server.

    ``under_way`` counts the steps that are not noted yet; ``on_quiet`` is called, once, when there are none.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._entries: dict[str, bytes] | None = None
        self._claimed: set[str] = set()
        self._readings: list[Reading] = []
        self._sleeps = 0
        self._waits_for: str | None = None
        self.under_way = 0
        self.on_quiet: list[Callable[[], object]] = []

    def step(self, name: str, fn: Callable[..., Any], run: Callable[[], Any]) -> Conversation[Any]:
        """The result of ``run``, from the journal when an earlier run has got so far. ``fn`` says its type."""
        field, kind = self._claim("step", name), result_type(fn)
        entries = yield from self._recalled()
        body = entries.get(field)
        if body is None:
            body = yield from self._run(field, run)
        return self.desk.unpack(field, body, kind)

    def signal(self, name: str, kind: Any, limit_ms: int | None, default: Any) -> Conversation[Any]:
        """The value of a signal, or the default after ``limit_ms``. Raises Suspended until one of them is there."""
        field = self._field("signal", name)
        if limit_ms is None and default is not REQUIRED:
            raise WrongCall(f"ctx.signal('{name}'): a default needs a timeout= after which it is the answer")
        awaited: Awaited = yield await_("signal", name, limit_ms, fails=default is REQUIRED)
        if awaited.body is not None:
            return self.desk.unpack(field, awaited.body, kind)
        if awaited.status == "waits":
            yield from self._suspend(field)
        if default is REQUIRED:
            raise SignalTimeout(
                f"the signal '{name}' did not come in time; give ctx.signal a default=, or retry the job to wait anew"
            )
        return default

    def sleep(self, limit_ms: int) -> Conversation[None]:
        """Nothing, when the time is over. Raises Suspended until then. The sleeps of a run are told apart by their order."""
        self._sleeps += 1
        name = str(self._sleeps)
        field = self._field("sleep", name)
        awaited: Awaited = yield await_("sleep", name, limit_ms, fails=False)
        if awaited.status == "waits":
            yield from self._suspend(field)

    def cursor(self, name: str, every: int) -> Conversation[Reading]:
        """Where a reading stands, which is noted after each ``every`` items."""
        if every < 1:
            raise WrongCall(f"ctx.cursor('{name}'): every is {every}; at least 1 item is due")
        field = self._claim("cursor", name)
        entries = yield from self._recalled()
        reading = Reading(self, field, every)
        if field in entries:
            reading.is_over, reading.last, reading.count = self.desk.unpack(field, entries[field], Any)
        self._readings.append(reading)
        return reading

    def _recalled(self) -> Conversation[dict[str, bytes]]:
        if self._entries is not None:
            return self._entries
        entries: dict[str, bytes] = yield recall()
        if self._entries is None:  # steps that run together ask together
            self._entries = entries
        return entries

    def _run(self, field: str, run: Callable[[], Any]) -> Conversation[bytes]:
        self.under_way += 1
        try:
            body = self.desk.pack(field, (yield Own(run)))
            yield journal(field, body)
        finally:
            self.under_way -= 1
            if not self.under_way:
                waiting, self.on_quiet = self.on_quiet, []
                for call in waiting:
                    call()
        return body

    def _suspend(self, field: str) -> Conversation[None]:
        yield QUIET
        for reading in self._readings:
            yield from reading.checkpoint()
        self._waits_for = field
        self.desk.suspend(field)
        raise Suspended(field)

    def _claim(self, kind: str, name: str) -> str:
        field = self._field(kind, name)
        if field in self._claimed:
            raise WrongCall(
                f"ctx.{kind}: '{name}' is the name of an earlier {kind} of this run; what is done many times needs "
                f"names of its own, as in ctx.{kind}(f'{name}-{{number}}', …)"
            )
        self._claimed.add(field)
        return field

    def _field(self, kind: str, name: object) -> str:
        if self._waits_for is not None:
            raise Suspended(self._waits_for)
        if not isinstance(name, str) or not 1 <= len(name.encode("utf-8", "replace")) <= NAME_MAX:
            raise WrongCall(
                f"ctx.{kind}: name is {name!r:.80}; a text of 1 to {NAME_MAX} bytes is due, such as 'charge'"
            )
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
            raise WrongCall(f"ctx.{kind}: name is {name!r:.80}; it must not contain control characters")
        return f"{kind} {name}"


class Reading:
    """How far a cursor is. ``last`` is the key of the last item that is done, ``count`` how many are.

    An item is done when the next one is asked for. A checkpoint is noted after ``every`` items or a second, whichever
    comes first, before the job waits for something, and at the end.
    """

    def __init__(self, journal_: Journal, field: str, every: int) -> None:
        self._journal, self._field, self._every = journal_, field, every
        self._open, self._noted_at = 0, 0.0
        self.last: Any = None
        self.count = 0
        self.is_over = False

    def begin(self, now: float) -> None:
        """Items are read from now on (seconds, of any clock that does not run back)."""
        self._noted_at = now

    def passed(self, key: Any, now: float) -> Conversation[None]:
        """One more item is done."""
        self.last = key
        self.count += 1
        self._open += 1
        if self._open >= self._every or now - self._noted_at >= CHECKPOINT_AFTER:
            self._noted_at = now
            yield from self.checkpoint()

    def ended(self) -> Conversation[None]:
        """There are no more items; a later run reads none."""
        self.is_over, self._open = True, 1
        yield from self.checkpoint()

    def checkpoint(self) -> Conversation[None]:
        """Note what is done."""
        if self._open:
            self._open = 0
            yield journal(self._field, self._packed())

    def _packed(self) -> bytes:
        desk, state = self._journal.desk, [self.is_over, self.last, self.count]
        body = desk.pack(self._field, state)
        if desk.unpack(self._field, body, Any) != state:
            raise WrongCall(
                f"ctx.{self._field.replace(' ', ': ', 1)}: the key {self.last!r:.80} would come back as something else after a "
                "crash; let key= return a number, a text, bytes, or a list of these"
            )
        return body
