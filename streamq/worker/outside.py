"""What those who run jobs need from the process around them. Its fetch loop is it; in tests, something smaller."""

from __future__ import annotations

from typing import Any, Protocol

from streamq.wire import Unpacked
from streamq.worker.desk import SeatDesk
from streamq.worker.outbox import Ending
from streamq.worker.plan import Plan
from streamq.worker.seat import Lot, Seat

__all__ = ["Outside"]


class Outside(Protocol):
    """The process around a bench."""

    def tell(self, seat: Seat, said: dict[str, Any]) -> None:
        """A handler says how far it is; called in threads too."""

    def open_desk(self, seat: Seat) -> SeatDesk:
        """Where the handler that sits there deals with the server; called in threads too."""
        ...

    def changed(self) -> None:
        """Something ended, or there is room: called in every turn of the loop."""

    def settle_soon(self) -> None:
        """An ending should not wait for company."""

    async def body_of(self, seat: Seat) -> bytes:
        """The payload of a job that is kept apart from its entry."""
        ...

    async def give(self, seat: Seat, opened: Unpacked) -> None:
        """Put into a job's arguments what its parents left. Raises Unmet when it is not to run."""

    async def isolate(self, seat: Seat, plan: Plan, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run a handler in a process of its own."""
        ...

    def ended(self, lot: Lot, ending: Ending) -> None:
        """A job ended in another way than by a plain completion."""
