"""The tree of everything that streamq raises on purpose.

Each class says in its message what happened, to what, and what to do. Classes with a ``code`` are what a refusal
of a Lua function becomes: the first word of the error reply names the class (see ``from_reply``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "BadPayload",
    "BadSchedule",
    "Cancelled",
    "ConfigError",
    "ConnectionLost",
    "Expired",
    "FlowFailed",
    "JobFailed",
    "JobNotFound",
    "KeyMissing",
    "LibraryMissing",
    "LimitExceeded",
    "NotSupported",
    "OutOfMemory",
    "PayloadTooLarge",
    "ProtocolError",
    "QueueFull",
    "RateExceeded",
    "ReadOnlyServer",
    "Reentered",
    "ResultGone",
    "ResultTimeout",
    "ScheduleNotFound",
    "ServerUnavailable",
    "SignalTimeout",
    "SoftTimeout",
    "StaleCall",
    "StreamqError",
    "UniqueConflict",
    "UnknownTask",
    "WrongCall",
    "WrongResults",
    "WrongState",
    "error_types",
    "from_reply",
]


class StreamqError(Exception):
    """Base of everything streamq raises on purpose."""

    code: ClassVar[str] = ""


class ConfigError(StreamqError, ValueError):
    """A setting or an option has a value that cannot be used."""


class BadSchedule(ConfigError):
    """The text of a schedule was not understood to its last word, or has more than one reading."""


class WrongCall(StreamqError, TypeError):
    """The arguments do not fit the task. Nothing was sent."""


class WrongResults(StreamqError, ValueError):
    """The handler of a batch returned something else than a list as long as that of its items."""


class Reentered(StreamqError, RuntimeError):
    """A thread was interrupted in the middle of an enqueue, by a signal handler or a finalizer that enqueues too."""

    def __init__(self) -> None:
        super().__init__(
            "this thread was interrupted in the middle of an enqueue and can do only one at a time. Set a flag in the "
            "signal handler or finalizer, and enqueue where it is looked at. Nothing was sent."
        )


class UnknownTask(StreamqError, LookupError):
    """No task of that name is registered in this process."""


class BadPayload(StreamqError, ValueError):
    """A payload cannot be read: malformed, truncated, forged, or of a later version."""


class PayloadTooLarge(StreamqError, ValueError):
    """A payload is above the limit; nothing was sent."""


class KeyMissing(StreamqError, LookupError):
    """A payload is encrypted with a key that is not in the key ring."""


class ServerUnavailable(StreamqError, ConnectionError):
    """The server cannot be reached, or refuses the log-in."""


class ConnectionLost(ServerUnavailable):
    """A connection broke in the middle of a call, so its outcome is unknown."""


class ReadOnlyServer(ServerUnavailable):
    """The server is a replica, or has not enough replicas of its own to accept writes."""


class OutOfMemory(StreamqError):
    """The server is at its memory limit and accepts no new jobs; workers go on and drain it."""


class LibraryMissing(StreamqError):
    """The function library is not on the server and could not be loaded."""


class NotSupported(StreamqError):
    """The server or engine has not what the operation needs."""


class ProtocolError(StreamqError):
    """The server answered something that the protocol does not know. A bug, or a foreign library."""

    code = "INVALID"


class StaleCall(StreamqError):
    """The call is older than one that was already executed; it has changed nothing."""

    code = "STALE"


class UniqueConflict(StreamqError):
    """Another job holds the unique key."""

    code = "CONFLICT"

    @property
    def holder(self) -> str:
        """The id of that job, inside its queue."""
        return str(self).partition(" ")[0]


class JobNotFound(StreamqError, LookupError):
    """There is no such job: it is unknown, or finished and not kept."""

    code = "NOTFOUND"


class ScheduleNotFound(StreamqError, LookupError):
    """There is no schedule of that name in the queue."""

    code = "NOSCHEDULE"


class WrongState(StreamqError):
    """The job is in a state that does not allow the operation."""

    code = "STATE"


class LimitExceeded(StreamqError, ValueError):
    """A batch or an argument is above a limit of the protocol."""

    code = "LIMIT"


class QueueFull(StreamqError):
    """As many jobs, or bytes, wait as may wait: in the queue, for one key, or in the server's memory. Nothing was added."""

    code = "FULL"

    def __str__(self) -> str:
        wait = f"try again in {self.retry_after:g} s, or let the producer wait: wait_for_room=..."
        return f"{self.limit} is full: {self._said(2)}; {wait}. Nothing was added."

    @property
    def limit(self) -> str:
        """What is full: the limit's name, as in ``tenant:acme``; ``queue`` and ``memory`` stand for themselves."""
        return super().__str__().partition(" ")[0]

    @property
    def retry_after(self) -> float:
        """Seconds after which there may be room."""
        return int(self._said(1).partition(" ")[0]) / 1000

    def _said(self, words: int) -> str:
        """What the server said, without its first words: the limit, and milliseconds."""
        return super().__str__().split(" ", words)[-1]


class RateExceeded(StreamqError, TimeoutError):
    """A limit did not give in time what was asked of it. Nothing was taken."""


class JobFailed(StreamqError):
    """The awaited job gave up. Type, text and traceback of its error are data, never imported by name."""

    def __init__(self, job_id: str, type_name: str, text: str, traceback: str = "") -> None:
        super().__init__(
            f"job {job_id} failed: {type_name}: {text}" if type_name else f"job {job_id} failed: {text}"
        )
        self.job_id, self.type_name, self.text, self.traceback = job_id, type_name, text, traceback


class FlowFailed(StreamqError):
    """The awaited flow did not complete. ``failed``: its steps that failed by themselves, with how."""

    def __init__(self, flow_id: str, failed: Mapping[str, str]) -> None:
        self.flow_id, self.failed = flow_id, dict(failed)
        said = ", ".join(f"{name} is {how}" for name, how in list(failed.items())[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        super().__init__(f"flow {flow_id} did not complete: {said or 'it was cancelled'}{more}")


class ResultGone(StreamqError, LookupError):
    """The job has ended and its result was not kept (see ``result_ttl``)."""


class ResultTimeout(StreamqError, TimeoutError):
    """The job had not ended in time. It goes on; ask again."""


class SoftTimeout(StreamqError, TimeoutError):
    """Raised inside a handler whose ``soft_timeout`` is over, so that it can tidy up before the hard one ends it."""


class SignalTimeout(StreamqError, TimeoutError):
    """Raised inside a handler: the signal that it waits for did not come in time. Nothing is gained by a retry."""


class Expired(StreamqError):
    """The awaited job had not begun, or could not be finished, in time (``expires``, ``deadline``), so it has no result."""


class Cancelled(StreamqError):
    """The awaited job was cancelled; a handler raises it to cancel its own job."""


def error_types(value: Any) -> tuple[type[BaseException], ...]:
    """The exception classes that an option names, one or a list of them; none when something else is among them."""
    types = tuple(value) if isinstance(value, list | tuple) else (value,)
    return types if all(isinstance(one, type) and issubclass(one, BaseException) for one in types) else ()


def from_reply(message: str) -> StreamqError | None:
    """The error that a refusal of a Lua function stands for, or None when its first word is no code of ours."""
    code, _, text = message.partition(" ")
    kind = _BY_CODE.get(code)
    return kind(text) if kind else None


_BY_CODE = {kind.code: kind for kind in StreamqError.__subclasses__() if kind.code}
