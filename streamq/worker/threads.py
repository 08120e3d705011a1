"""Threads for sync handlers: they take jobs from one queue by themselves, and tell of many endings at a time.

A thread that was woken takes jobs until none is left, so fast handlers share one thread and pay for no wake (0.9 µs a
no-op job, against 25 to 36 µs for ``run_in_executor``, 2026-11). Jobs that have not begun after a few milliseconds get
more threads, twice as many each time, so blocking ones soon have one each. A job that is too late gets an exception in
its thread; a thread that was interrupted, or whose job changed a context variable, does not go on in the same context.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any

from streamq.context import current_job
from streamq.errors import SoftTimeout
from streamq.logger import Logger
from streamq.protocol.consume import RECORD, Row
from streamq.worker.endings import given_up, raised, returned, untouched
from streamq.worker.hopped import STRAY, Hopped, TimeLimit, raise_in, soft_timeout
from streamq.worker.outbox import Ending
from streamq.worker.outside import Outside
from streamq.worker.page import Section
from streamq.worker.plan import Call, Plan
from streamq.worker.repeats import Repeats
from streamq.worker.seat import Lot, Seat
from streamq.worker.soft import soft_text
from streamq.worker.verdict import Stop

__all__ = ["GRACE", "ThreadSeat", "Threads"]

PATIENCE = 0.005  # seconds that a job may lie before another thread is woken or made
GRACE = 5.0  # seconds that a handler has to end after it was interrupted
COMPANY = 0.002  # seconds that an ending may wait for company
FAST = 5  # jobs that a thread takes meanwhile: more threads would only contend for the interpreter

clock = time.monotonic
Bulk = tuple[Row, Lot, Plan]


class ThreadSeat(Seat):
    """A thread that runs jobs."""

    __slots__ = ("aimed_at", "ident", "is_awake", "is_taking")

    def __init__(self, *of_seat: Any) -> None:
        super().__init__(*of_seat)
        self.ident = 0
        self.is_awake, self.is_taking = True, False
        self.aimed_at: Row | None = None  # the job that an exception was sent to


class Threads:
    """The threads of one bench, ``slots`` at most."""

    def __init__(
        self,
        slots: int,
        section: Section,
        outside: Outside,
        changed: Callable[[], None],
    ) -> None:
        self._slots, self._section, self._outside = slots, section, outside
        self._ended, self._changed = outside.ended, changed
        self._loop = asyncio.get_running_loop()
        self._base = contextvars.copy_context()
        self._jobs: deque[Bulk | Hopped] = deque()  # what threads may take
        self._calls: SimpleQueue[bool] = SimpleQueue()  # True wakes a thread, False ends one
        self._seats: set[ThreadSeat] = set()
        self._endings: deque[tuple[Lot, Ending]] = deque()
        self._brought = self._seen = self._taken = self._hopped = 0
        self._limit, self._starts = slots, 1
        self._is_rung = self._is_looking = False
        self._rung_at = self._roused_at = 0.0
        self._refusals = Repeats()
        self.hung: Ending | None = None

    def arrive(self, row: Row, lot: Lot, plan: Plan) -> None:
        """A delivery to run; ``feed`` sees to it."""
        self._jobs.append((row, lot, plan))
        self._brought += 1

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._jobs)

    @property
    def running(self) -> int:
        """Threads that run jobs of their own, not one that a runner waits for."""
        return max(0, sum(seat.is_awake and not seat.is_given_up for seat in self._seats) - self._hopped)

    @property
    def is_idle(self) -> bool:
        """Nothing runs or waits, and all endings were handed in."""
        return not (self._jobs or self._endings or self.running)

    @property
    def is_starved(self) -> bool:
        """Jobs wait, and no thread has a slot to run them."""
        return bool(self._jobs) and not any(seat.is_awake for seat in self._seats)

    def busy(self) -> Iterable[ThreadSeat]:
        """The threads that run a job."""
        return [seat for seat in self._seats if seat.plan is not None]

    def held(self) -> list[tuple[Row, Lot]]:
        """All deliveries that are here, begun or not."""
        while any(seat.is_taking for seat in self._seats):
            time.sleep(0)  # a thread has it in hand
        begun = [(seat.row, seat.lot) for seat in self.busy()]
        return begun + [(job[0], job[1]) for job in list(self._jobs) if not isinstance(job, Hopped)]

    def withdraw(self, wanted: Callable[[Row, Lot], bool]) -> list[tuple[Row, Lot]]:
        """Take back deliveries that have not begun."""
        bulk = [job for job in list(self._jobs) if not isinstance(job, Hopped)]
        return [(job[0], job[1]) for job in bulk if wanted(job[0], job[1]) and self._remove(job)]

    def feed(self, limit: int) -> None:
        """See to it that jobs are taken, by ``limit`` threads at most; one is always allowed, so that none starves."""
        self._limit = max(1, limit)
        self._watch()

    async def run(self, seat: Seat, call: Call, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run one handler and wait for it. When that is ended, the thread gets an exception, and is waited for."""
        hopped = Hopped(seat, call, args, kwargs)
        self._hopped += 1
        self._brought += 1
        self._jobs.append(hopped)
        self._watch()
        try:
            return await self._waited_for(hopped)
        finally:
            self._hopped -= 1

    async def _waited_for(self, hopped: Hopped) -> Any:
        """A thread can be told to end, not be made to: while it runs, its job is not over."""
        ending: BaseException | None = None
        while not hopped.future.done():
            try:
                await asyncio.shield(hopped.future)
            except BaseException as error:
                if hopped.future.done():
                    break
                soft = isinstance(error, SoftTimeout)
                if not soft and self._remove(hopped):
                    raise
                ending = ending if soft else error
                hopped.aim(soft_timeout(str(error)) if soft else TimeLimit)
        if ending is not None:
            hopped.future.exception()
            raise ending
        return hopped.future.result()

    def _remove(self, job: Bulk | Hopped) -> bool:
        try:
            self._jobs.remove(job)
        except ValueError:  # a thread was faster
            return False
        return True

    def scan(self, now: float) -> None:
        """Interrupt what is late."""
        for seat in self.busy():
            if seat.deadline < now:
                self._interrupt(seat, now)
            elif seat.soft < now and not seat.warned:
                seat.warned = True
                self._aim(seat, soft_timeout(soft_text(seat)))

    def end(self, seat: ThreadSeat, stop: Stop) -> None:
        """The job should end; its context says so."""
        if stop is Stop.CANCEL:
            seat.end(stop)
            return
        seat.end_by(stop, clock() + GRACE)
        self._aim(seat, TimeLimit)

    def close(self) -> None:
        """Threads that wait for jobs end."""
        for _ in self._seats:
            self._calls.put(False)

    def _interrupt(self, seat: ThreadSeat, now: float) -> None:
        if seat.stop in (None, Stop.WAIT):
            seat.end_by(Stop.TIMEOUT, now + GRACE)
            self._aim(seat, TimeLimit)
            return
        self.hung = given_up(seat, now)
        self._ended(seat.lot, self.hung)
        self._changed()

    def _aim(self, seat: ThreadSeat, error: type[BaseException]) -> None:
        seat.aimed_at = seat.row
        raise_in(seat.ident, error)

    # How many threads

    def _watch(self) -> None:
        """See to it that somebody takes what lies here."""
        if not self._jobs:
            return
        now = clock()
        recent = now - PATIENCE
        if self._roused_at < recent and not any(
            seat.is_awake and seat.started > recent for seat in self._seats
        ):
            self._rouse(1, now)
        if not self._is_looking:
            self._is_looking, self._seen = True, self._brought
            self._taken = self._brought - len(self._jobs)
            self._loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        """Jobs that were there at the last look and have not begun need more threads, unless those awake are fast."""
        self._is_looking = False
        lying = len(self._jobs)
        taken = self._brought - lying
        awake = sum(seat.is_awake for seat in self._seats)
        if lying and taken < self._seen and taken - self._taken < FAST * awake:
            self._rouse(min(self._starts, lying), clock())
            self._starts = min(self._starts * 2, 64)
        else:
            self._starts = 1
        self._watch()

    def _rouse(self, count: int, now: float) -> None:
        """Wake threads that sleep, and make the rest."""
        self._roused_at = now
        awake, called = sum(seat.is_awake for seat in self._seats), self._calls.qsize()
        asleep = max(0, len(self._seats) - awake - called)
        count = min(count, self._limit + self._hopped - awake - called)
        for _ in range(min(count, asleep)):
            self._calls.put(True)
        for _ in range(min(count - asleep, self._slots - len(self._seats))):
            if not self._start():
                break  # jobs wait for the threads that there are, and for the next look

    def _start(self) -> bool:
        seat = ThreadSeat(self._section.cell(), self._outside)
        self._seats.add(seat)
        try:
            threading.Thread(target=self._live, args=(seat,), name="streamq", daemon=True).start()
        except RuntimeError:  # the system allows no more
            self._seats.discard(seat)
            seat.cell.close()
            self._warn_of_refusal()
            return False
        return True

    def _warn_of_refusal(self) -> None:
        if times := self._refusals.met(clock()):
            Logger("streamq.worker").warning(
                "worker.no_more_threads",
                threads=len(self._seats),
                times=times,
                hint="raise the limit of processes (ulimit -u, pids.max), or lower --concurrency",
            )

    def _live(self, seat: ThreadSeat) -> None:
        """The life of a thread; it ends when it is told to, and when an exception was sent into it."""
        seat.ident = threading.get_ident()
        try:
            while seat.aimed_at is None and self._base.copy().run(self._serve, seat):
                pass
        except (TimeLimit, TimeoutError):
            pass  # it came after the handler's end
        finally:
            self._on_loop(self._gone, seat)

    def _gone(self, seat: ThreadSeat) -> None:
        self._seats.discard(seat)
        seat.cell.close()
        self._collect()

    def _serve(self, seat: ThreadSeat) -> bool:
        """Job after job in one context; False: the thread ends."""
        current_job.set(seat)
        clean = contextvars.copy_context()
        while seat.aimed_at is None:
            if not self._take(seat):
                self._ring(at_once=True)
                seat.is_awake = False
                if not self._calls.get():
                    return False
                seat.is_awake = True
                continue
            try:
                if contextvars.copy_context() != clean:
                    return True
            except Exception:  # an odd __eq__ of a value in the context
                return True
        return False

    def _take(self, seat: ThreadSeat) -> bool:
        """Run one job that was handed over, if there is one. While ``is_taking``, a job is in nobody's list."""
        seat.is_taking = True
        try:
            job = self._jobs.popleft()
        except IndexError:
            seat.is_taking = False
            return False
        if isinstance(job, Hopped):
            seat.is_taking = False
            job.run(seat)
            current_job.set(seat)
            return True
        row, lot, plan = job
        seat.begin(row, lot, clock())
        seat.plan = plan
        seat.is_taking = False
        self._attempt(seat, plan)
        return True

    def _attempt(self, seat: ThreadSeat, plan: Plan) -> None:
        """Run the job of a seat and hand in its ending."""
        row, lot = seat.row, seat.lot
        ending: Ending | None = None
        try:
            _, task, value = row
            opened = plan.open(value[2] if task == RECORD else value)
            seat.allow(plan, opened.options)
            result = plan.call(seat, opened.args, opened.kwargs)
            ending = returned(seat, clock(), result)
        except BaseException as error:
            seat.plan = plan
            ending = self._failed(seat, error)
        seat.rest()
        if ending is not None:
            self._endings.append((lot, ending))
        self._ring(at_once=False)

    def _failed(self, seat: ThreadSeat, error: BaseException) -> Ending:
        if isinstance(error, TimeLimit) and seat.aimed_at is not seat.row:
            return untouched(seat, "snooze", STRAY)
        return raised(seat, clock(), error)

    def _ring(self, *, at_once: bool) -> None:
        """Tell the loop of endings: at once when nothing is left to take, else a few hundred times a second."""
        if self._is_rung:
            return
        now = clock()
        if at_once or not self._jobs or now - self._rung_at > COMPANY:
            self._is_rung, self._rung_at = True, now
            self._on_loop(self._collect)

    def _on_loop(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed over a thread that hung
            self._loop.call_soon_threadsafe(call, *args)

    def _collect(self) -> None:
        """On the loop: whatever threads handed in."""
        self._is_rung = False
        while self._endings:
            self._ended(*self._endings.popleft())
        self._changed()
