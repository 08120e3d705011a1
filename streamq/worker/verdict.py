"""How a job ends: what its handler raised, and how often it may run, become a verdict. Nothing here waits or knows a clock.

A handler that returned has completed; everything else comes through ``judge``. The worker itself stops handlers for a
reason (``Stop``), and what they raise then, usually a CancelledError, is judged by the reason.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from enum import Enum
from types import CodeType

from streamq.backoff import Backoff
from streamq.errors import BadPayload, Cancelled, KeyMissing, PayloadTooLarge, SignalTimeout
from streamq.limits.declared import Breaker
from streamq.limits.lanes import key_named, keys_of, widest_of
from streamq.options import TaskOptions
from streamq.outcomes import Dead, Outcome, RateLimited, Retry, Snooze
from streamq.wire.limits import clip_error, clip_traceback, text_of

__all__ = [
    "Attempt",
    "Fault",
    "Stop",
    "Verdict",
    "expired",
    "fault_of",
    "judge",
    "struck",
    "unknown",
    "unreadable",
]


class Stop(Enum):
    """Why the worker ended a handler."""

    TIMEOUT = "timeout"  # it ran longer than it may
    CANCEL = "cancel"  # somebody cancelled the job
    SHUTDOWN = "shutdown"  # the worker leaves
    WAIT = "wait"  # the job waits for something outside
    FENCED = "fenced"  # the delivery is not this worker's any more


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a handler, as its judge sees it.

    ``number`` counts from 1, ``age`` is in seconds since the enqueue, ``limit`` the seconds that it was allowed,
    ``chance`` a random number from 0 to below 1. ``misfit``: its arguments did not fit the handler. ``hung``: it goes on
    although it was ended. ``entered``: what was raised comes from inside the handler.
    ``waits_for``: what the job waits for, as a field of its journal. ``left``: seconds until its deadline. ``lane``: where it
    waited for its limits, if it did.
    """

    number: int
    age: float
    options: TaskOptions
    chance: float = 0.0
    stop: Stop | None = None
    limit: float = 0.0
    misfit: bool = False
    hung: bool = False
    entered: bool = False
    waits_for: str = ""
    left: float = float("inf")
    lane: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as data: the type's name, its text and its traceback, all bounded."""

    type_name: str
    text: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a delivery, in the words of the protocol's settlements; None: there is nothing to settle.

    ``limit``: which one is shut when it was limited. ``neutral``: it says nothing about what the job's breaker is for.
    """

    outcome: str | None
    delay: float | None = None  # seconds
    reason: str = ""
    fault: Fault | None = None
    waits_for: str = ""
    limit: str | None = None
    neutral: bool = False


def judge(error: BaseException, attempt: Attempt) -> Verdict:
    """The verdict about a handler that ended with ``error``."""
    stop, breaker = attempt.stop, attempt.options.breaker
    verdict = _raised(error, attempt) if stop is None else _stopped(error, attempt, stop)
    if breaker is None or verdict.outcome not in ("retry", "dead") or _speaks(breaker, error, attempt):
        return verdict
    return replace(verdict, neutral=True)


def _stopped(error: BaseException, attempt: Attempt, stop: Stop) -> Verdict:
    match stop:
        case Stop.CANCEL:
            return Verdict("cancelled", reason="asked to stop while it ran")
        case Stop.SHUTDOWN:
            return Verdict("release")
        case Stop.FENCED:
            return Verdict(None)
        case Stop.WAIT:
            return Verdict("wait", waits_for=attempt.waits_for)
        case Stop.TIMEOUT:
            return _ended(error, attempt)


def _raised(error: BaseException, attempt: Attempt) -> Verdict:
    match error:
        case Outcome():
            return _chosen(error, attempt)
        case Cancelled():
            return Verdict("cancelled", reason="its handler cancelled it", fault=_said("Cancelled", error))
        case BadPayload() | KeyMissing() | PayloadTooLarge() if not attempt.entered:
            return unreadable(error)
    if attempt.misfit:
        return Verdict("dead", reason="arguments do not fit", fault=fault_of(error))
    if isinstance(error, (*attempt.options.no_retry, SignalTimeout)):
        return Verdict("dead", reason="not to be retried", fault=fault_of(error))
    return _failed(attempt, error, fault_of(error))


def _ended(error: BaseException, attempt: Attempt) -> Verdict:
    """The verdict about a handler whose time was over: that of a run, or that of the job."""
    if attempt.left <= 0:
        return expired(f"its deadline came after {attempt.limit:.1f} s of its run")
    return _failed(attempt, error, _lateness(attempt, error))


def unreadable(error: BaseException) -> Verdict:
    """The verdict about a payload that cannot be read here. One whose key is missing may be readable elsewhere."""
    if isinstance(error, KeyMissing):
        return Verdict("park", reason=text_of(error))
    name = "BadPayload" if isinstance(error, BadPayload) else type(error).__qualname__
    return Verdict("dead", reason="bad payload", fault=Fault(name, text_of(error)), neutral=True)


def unknown(task: str) -> Verdict:
    """The verdict about a task that this worker does not know: an older or newer worker may."""
    return Verdict("park", reason=f"this worker does not know the task '{task}'")


def expired(reason: str) -> Verdict:
    """The verdict about a job that cannot be finished before its deadline."""
    return Verdict("expired", reason=reason)


def struck(strike: str) -> Verdict:
    """The verdict about a job that a strike stops: it waits for the end of that."""
    return Verdict("strike", reason=strike)


def fault_of(error: BaseException) -> Fault:
    """An error as data, its traceback from the handler on."""
    return Fault(clip_error(type(error).__qualname__), text_of(error), _trace(error))


def _lateness(attempt: Attempt, error: BaseException) -> Fault:
    late = f"it ran longer than {attempt.limit:g} s"
    if attempt.hung:
        return Fault("TimeoutError", f"{late} and could not be ended")
    return Fault("TimeoutError", late, _trace(error))


def _chosen(error: Outcome, attempt: Attempt) -> Verdict:
    match error:
        case Snooze():
            return Verdict("snooze", delay=error.delay, reason="snoozed", fault=_said("Snooze", error))
        case RateLimited():
            return _limited(error, attempt)
        case Retry():
            return _failed(attempt, error, Fault("Retry", text_of(error)))
    return Verdict("dead", reason="its handler gave up", fault=Fault("Dead", text_of(error)))


def _limited(error: RateLimited, attempt: Attempt) -> Verdict:
    lane = attempt.lane or ""
    limit = widest_of(lane) if error.limit is None else key_named(lane, error.limit)
    if limit is None and error.limit is not None and lane:
        wrong = f"RateLimited(limit={error.limit!r:.60}) names no limit of this job: it has {', '.join(keys_of(lane))}"
        return _failed(attempt, error, Fault("RateLimited", wrong))
    fault = _said("RateLimited", error)
    return Verdict("limited", delay=error.delay, reason="rate limited", fault=fault, limit=limit)


def _speaks(breaker: Breaker, error: BaseException, attempt: Attempt) -> bool:
    """Whether a failure is one of what the breaker is for: no misfit, no decision of the handler, nothing else than it names."""
    if attempt.stop is Stop.TIMEOUT:
        return breaker.counts(TimeoutError())
    if attempt.misfit or (
        isinstance(error, BadPayload | KeyMissing | PayloadTooLarge) and not attempt.entered
    ):
        return False
    return breaker.counts(error) and not (isinstance(error, Dead) and error.__cause__ is None)


def _said(type_name: str, error: BaseException) -> Fault | None:
    """What a handler said with its choice. As an error's text it is sealed where payloads are; a reason never is."""
    words = text_of(error)
    return Fault(type_name, words) if words else None


def _failed(attempt: Attempt, error: BaseException, fault: Fault) -> Verdict:
    options = attempt.options
    if attempt.number >= options.attempts:
        return Verdict("dead", reason=_failures(attempt.number), fault=fault)
    delay = _delay(attempt, error)
    if options.retry_for is not None and attempt.age + delay > options.retry_for:
        return Verdict("dead", reason=f"its {options.retry_for:g} s are over", fault=fault)
    if delay > attempt.left:
        return Verdict("dead", reason="its deadline comes before its next attempt", fault=fault)
    return Verdict("retry", delay=delay, fault=fault)


def _failures(count: int) -> str:
    return f"failed {count} times" if count > 1 else "failed once"


def _delay(attempt: Attempt, error: BaseException) -> float:
    """Seconds until the next run. A backoff function that itself fails does no harm: the default takes its place."""
    if isinstance(error, Retry) and error.delay is not None:
        return error.delay
    try:
        return attempt.options.backoff.delay(attempt.number, attempt.chance, error)
    except Exception:
        return Backoff().delay(attempt.number, attempt.chance)


def _trace(error: BaseException) -> str:
    own = error.__traceback__
    while own is not None and own.tb_next is not None and _is_ours(own.tb_frame.f_code):
        own = own.tb_next
    try:
        return clip_traceback("".join(traceback.format_exception(type(error), error, own)))
    except Exception:
        return ""


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(_OUR_FOLDER)


_OUR_FOLDER = __file__.rpartition("/")[0]
