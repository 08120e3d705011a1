"""From what a handler returned or raised to the ending of its delivery. Used on the loop and in threads alike."""

from __future__ import annotations

from typing import Any

from streamq.errors import BadPayload, KeyMissing, PayloadTooLarge
from streamq.protocol.consume import Row
from streamq.worker.deadlines import TooLate
from streamq.worker.inputs import Unmet, Unusable
from streamq.worker.outbox import Ending
from streamq.worker.plan import is_misfit, keeps, ttl_of, was_entered
from streamq.worker.seat import FOREVER, Lot, Seat
from streamq.worker.strikes import Struck
from streamq.worker.verdict import Stop, Verdict, expired, fault_of, judge, struck, unknown, unreadable

__all__ = [
    "Judged",
    "UnknownTask",
    "answered",
    "given_up",
    "raised",
    "returned",
    "unbegun",
    "untouched",
]

_FENCED = Verdict(None)
_DONE = Verdict("done")


class Judged(Exception):
    """The job ran in a process of its own, which has judged its end itself."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.outcome)
        self.verdict = verdict


class UnknownTask(Exception):
    """The plans of this process have not that name."""


def returned(seat: Seat, ended: float, result: Any) -> Ending | None:
    """The ending of a job that returned; None when a plain completion will do, which was handed in."""
    plan = seat.known_plan
    if seat.stop is Stop.FENCED:
        return _ending(seat, ended, _FENCED)
    if seat.stop is Stop.WAIT:
        return _ending(seat, ended, Verdict("wait", waits_for=seat.waits_for))
    if seat.is_recorded or "result_ttl" in seat.carried:
        options = plan.options_with(seat.carried)
        ttl_ms = ttl_of(options) if keeps(options, result) else None
        ending = _ending(seat, ended, _DONE)
        ending.result, ending.ttl_ms, ending.tells_result = result, ttl_ms, ttl_ms is not None
        return ending
    seat.lot.done((seat.row[0], plan, seat.started, ended, result))
    return None


def raised(seat: Seat, ended: float, error: BaseException) -> Ending:
    """The ending of a job that raised."""
    return _ending(seat, ended, _verdict(seat, error))


def answered(seat: Seat, ended: float, error: BaseException) -> Ending:
    """The ending of a member for which the handler of its batch answered with an exception."""
    return _ending(seat, ended, _verdict(seat, error, is_own=True))


def given_up(seat: Seat, ended: float) -> Ending:
    """The ending of a job whose handler goes on although it was ended; what it still does counts for nothing."""
    seat.is_given_up = True
    ending = _ending(seat, ended, _verdict(seat, TimeoutError("the handler does not end")))
    seat.end(Stop.FENCED)
    seat.deadline = seat.cell.until(FOREVER)
    return ending


def unbegun(row: Row, lot: Lot, verdict: Verdict) -> Ending:
    """The ending of a delivery that nobody began to run."""
    return Ending(lot.level, row[0], "", None, 0, 0.0, verdict)


def untouched(seat: Seat, outcome: str, reason: str = "") -> Ending:
    """The ending of a job that ended by no fault of its own."""
    return _ending(
        seat, seat.started, Verdict(outcome, delay=0 if outcome == "snooze" else None, reason=reason)
    )


def _verdict(seat: Seat, error: BaseException, *, is_own: bool = False) -> Verdict:
    """``is_own``: the handler made the error, wherever it was raised, if it was."""
    if isinstance(error, Judged):
        return error.verdict if seat.stop is None else judge(error, seat.described())
    if isinstance(error, TooLate):
        return expired(str(error))
    if isinstance(error, Struck):
        return struck(error.strike)
    if isinstance(error, Unmet):
        return Verdict("skip", reason=str(error))
    if isinstance(error, Unusable):
        return Verdict("dead", reason="what its parents left cannot be used", fault=fault_of(error))
    if isinstance(error, UnknownTask):
        return unknown(str(error))
    if seat.plan is None:
        return unreadable(error)
    try:
        attempt = seat.described(not is_own and is_misfit(error), is_own or was_entered(error))
    except (BadPayload, KeyMissing, PayloadTooLarge) as unusable:
        return unreadable(unusable)
    try:
        return judge(error, attempt)
    except Exception as odd:
        return Verdict("dead", reason="its outcome cannot be judged", fault=fault_of(odd))


def _ending(seat: Seat, ended: float, verdict: Verdict) -> Ending:
    ending = Ending(
        seat.lot.level, seat.row[0], seat.id, seat.plan, seat.attempt, ended - seat.started, verdict
    )
    if seat.plan is None:
        ending.name = seat.task_name
    return ending
