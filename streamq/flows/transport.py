"""Putting a flow in: a conversation with its home and the other shards of its jobs, in calls of bounded size.

The flow is opened, ids are reserved, the jobs are added, and the commit lets them run. Whatever breaks before that, none
of them runs: who sends says so, or the server gives the flow up after an hour.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from streamq.flows.plan import Node, Plan
from streamq.flows.run import Run
from streamq.producer import MAX_BATCH_BYTES, Producer
from streamq.protocol import Flow as Conversation
from streamq.protocol.enqueue import NewJob
from streamq.protocol.flows import DESCRIBED, Ids, commit, describe, open_flow, relay, reserve
from streamq.protocol.keys import JobId, anchor_of

if TYPE_CHECKING:
    from streamq.app import App

__all__ = ["Transport"]

_EDGES = 250  # of the jobs in one call, unless one job has more
_JOBS = 150
_NOWHERE = "0-0"
_LATER = 1_000_000  # what was added while the flow ran stands behind the rest


class Transport:
    """One flow on its way. ``grows``: the full id of a flow that runs and gets more jobs. ``flow``: the id once it has one."""

    def __init__(self, app: App, name: str, keep_ms: int, plan: Plan, grows: str | None = None) -> None:
        self.app, self._name, self._keep_ms, self._plan = app, name, keep_ms, plan
        self._grows, self.flow = grows, grows
        self._namespace = app.config.namespace
        self._ids: list[str] = [f"{node.queue}-{node.level}-{_NOWHERE}" for node in plan.nodes]

    @property
    def place(self) -> tuple[str, int, str]:
        """The anchor of the flow's home, the server's clock, and its id there."""
        where = JobId.parse(self.flow or "")
        return where.anchor(self._namespace), 0, where.local

    def run(self) -> Run[None]:
        """The handle of what was sent."""
        jobs = {node.step.name: self._ids[node.number] for node in self._plan.nodes}
        return Run(self.app, self.flow or "", jobs)

    def conversation(self) -> Conversation[None]:
        """All calls in order. Raises WrongCall and PayloadTooLarge before the first one."""
        for node in self._plan.nodes:
            self._plan.job(node, self._ids, f"x-0-{_NOWHERE}")
        yield from self._draw_ids()
        if self._grows:
            yield from self._describe()
        yield from self._add()
        if len(self._plan.places) > 1:
            for queue in self._plan.places:
                yield from relay(self._namespace, anchor_of(self._namespace, queue), 0)
        if not self._grows:
            last = yield from self._describe()
            yield commit(*self.place, last)

    def _draw_ids(self) -> Conversation[None]:
        """Of the flow, and of its jobs. The home is that of the first step."""
        for queue, nodes in self._plan.places.items():
            anchor = anchor_of(self._namespace, queue)
            if self.flow is None:
                ids: Ids = yield open_flow(anchor, 0, self._name, self._keep_ms, len(nodes))
                self.flow = f"{queue}-0-{ids.at(0)}"
                ids = Ids(ids.ms, ids.first + 1)
            else:
                ids = yield reserve(anchor, 0, len(nodes))
            for place, node in enumerate(nodes):
                self._ids[node.number] = f"{queue}-{node.level}-{ids.at(place)}"

    def _add(self) -> Conversation[None]:
        producer = Producer()
        for queue, nodes in self._plan.places.items():
            channel, anchor = producer.borrow(), anchor_of(self._namespace, queue)
            for jobs in self._batches(nodes):
                yield channel.call(anchor, jobs)
            producer.give_back(channel)

    def _batches(self, nodes: list[Node]) -> Iterator[list[NewJob]]:
        batch: list[NewJob] = []
        edges = size = 0
        for node in nodes:
            job, more = self._plan.job(node, self._ids, self.flow or ""), len(node.edges) + 1
            is_full = len(batch) == _JOBS or edges + more > _EDGES or size + len(job.body) > MAX_BATCH_BYTES
            if batch and is_full:
                yield batch
                batch, edges, size = [], 0, 0
            batch.append(job)
            edges, size = edges + more, size + len(job.body)
        if batch:
            yield batch

    def _describe(self) -> Conversation[list[tuple[str, str, str]]]:
        """Tell the home of all jobs; for a new flow, the last of them are left for the commit."""
        rows = [self._described(node) for node in self._plan.nodes]
        cuts = [rows[start : start + DESCRIBED] for start in range(0, len(rows), DESCRIBED)]
        for cut in cuts if self._grows else cuts[:-1]:
            yield describe(*self.place, cut)
        return cuts[-1]

    def _described(self, node: Node) -> tuple[str, str, str]:
        role, job, text = self._plan.described(node, self._ids[node.number])
        if not self._grows:
            return role, job, text
        number, name, task, edges = json.loads(text)
        own = [[self._ids[other] if isinstance(other, int) else other, on] for other, on in edges]
        said: list[Any] = [_LATER + number, name, task, own]
        return role, job, json.dumps(said, separators=(",", ":"))
