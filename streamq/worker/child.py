"""One child of a supervisor, and how it ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from streamq.worker.page import Page, Started
from streamq.worker.process import Exit

__all__ = ["Child", "Death"]


@dataclass(slots=True, eq=False)
class Child:
    """A worker process. ``anchors`` in the order of the page's sections; ``alone``: it runs one suspect."""

    pid: int
    page: Page
    anchors: Sequence[str]
    alone: bool = False
    born: float = field(default_factory=time.monotonic)
    is_leaving: bool = False
    killed: str = ""  # why it was killed from here
    is_overdue: bool = False  # it was killed for no other reason than that its time to leave was over
    rescued_at: float = 0.0  # the heartbeat that was its last when its waiting jobs were given back
    suspects: list[tuple[str, Started]] = field(default_factory=list)  # with their anchors, once it is buried

    @property
    def running(self) -> list[tuple[str, Started]]:
        """What has begun in it and not ended, with its anchor."""
        sections = zip(self.anchors, self.page.sections, strict=True)
        return [(anchor, begun) for anchor, section in sections for begun in section.begun()]


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended: ``code`` is its exit code, or the negative number of the signal that killed it."""

    child: Child
    code: int

    @property
    def exit(self) -> Exit | None:
        """How the child ended itself; None when it crashed, also with a code that means something here."""
        return Exit(self.code) if self.code == self.child.page.farewell else None

    @property
    def is_blameless(self) -> bool:
        """It left by itself, or was killed because it should have left by then: nothing that ran in it is accused."""
        if self.was_killed and self.child.is_overdue:
            return True
        return self.exit not in (None, Exit.FAILED)

    @property
    def was_killed(self) -> bool:
        """Somebody else killed it: its supervisor, a person, or the system when memory was short."""
        return self.code == -signal.SIGKILL

    @property
    def why(self) -> str:
        """How it died, for people."""
        if self.child.killed:
            return f"killed: {self.child.killed}"
        if self.was_killed:
            return "SIGKILL from outside, as when memory runs out"
        return _signal_name(-self.code) if self.code < 0 else f"exit code {self.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time ones have no name
        return f"signal {number}"
