"""Keeps the leases of worker processes, from outside of them: a handler that holds their interpreter must not cost a lease.

The supervisor does it for all of its children; a worker without a supervisor does it from a thread, which such a handler
does stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

from streamq.engines.base import Engine
from streamq.errors import StreamqError
from streamq.logger import Logger
from streamq.protocol.consume import renew
from streamq.worker.page import Page, Section

__all__ = ["Keeper", "KeeperThread"]

Kept = tuple[Sequence[str], Page]  # the anchors of a page's sections, in their order; and the page


class Keeper:
    """Renews what the pages say, at each of ``anchors``."""

    def __init__(self, engine: Engine, lease: float, anchors: Sequence[str]) -> None:
        self._engine, self._lease_ms, self._anchors = engine, round(lease * 1000), anchors

    def renew(self, pages: Iterable[Kept]) -> dict[str, int]:
        """Renew all leases once; how many suspects wait at each anchor. Raises StreamqError when the server is away.

        What counts for a lease is when it was asked for.
        """
        sections: dict[str, list[Section]] = {anchor: [] for anchor in self._anchors}
        for anchors, page in pages:
            for anchor, section in zip(anchors, page.sections, strict=True):
                sections[anchor].append(section)
        return {anchor: self._renew(anchor, of_anchor) for anchor, of_anchor in sections.items()}

    def _renew(self, anchor: str, sections: Sequence[Section]) -> int:
        ids = [entitled.id for section in sections for entitled in section.entitled()]
        asked = time.monotonic()
        renewed = self._engine.run(renew(anchor, 0, self._lease_ms, ids))
        alive = {consumer for consumer, status in zip(ids, renewed.status, strict=True) if status != "gone"}
        for section in sections:
            for consumer in alive:
                section.mark_renewed(consumer, asked)
        return renewed.suspects


class KeeperThread:
    """Renews one page from a thread, three times in a lease."""

    def __init__(self, keeper: Keeper, lease: float, page: Kept) -> None:
        self._keeper, self._every, self._page = keeper, lease / 3, page
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamq-leases", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when it has."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self._keeper.renew([self._page])
            except StreamqError as error:
                Logger("streamq.worker").warning("worker.lease_not_renewed", error=str(error))
