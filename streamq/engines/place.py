"""Where the server of an engine is at the moment. It can move: a master fails over, an embedded server is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from streamq.engines.address import Address

__all__ = ["Fixed", "Place"]


class Place(Protocol):
    """Asked before each new connection; may take a while."""

    @property
    def moves(self) -> bool:
        """Whether asking again may give another answer; then it may block as well."""
        ...

    def locate(self) -> Address:
        """The address now."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """A place that never moves."""

    address: Address
    moves: bool = False

    def locate(self) -> Address:
        """The address."""
        return self.address
