"""From steps to jobs: which waits for which, in what shard, and what each carries. Pure; ids come from the server.

A step without a parent that must complete waits for the start of its flow, so that nothing runs before all is there. An
undo step waits for the flow's failure, its step's success, and the undo steps of what came after that step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streamq.errors import WrongCall
from streamq.flows.given import Fill, Given, Parent, Source, When
from streamq.packing import packed_with
from streamq.protocol.enqueue import NewJob

if TYPE_CHECKING:
    from streamq.flows.flow import Flow, On, Step

__all__ = ["EDGES", "Node", "Plan"]

EDGES = 1000  # parents of one job


@dataclass(frozen=True, slots=True)
class Node:
    """A job to be. ``edges``: other nodes by number, or full ids, with the end that is due; ``wanted``: whose results."""

    number: int
    step: Step[Any]
    queue: str
    level: int
    edges: Mapping[int | str, On]
    wanted: tuple[int, ...]

    @property
    def role(self) -> str:
        """``main`` or ``undo``."""
        return "undo" if self.step.undoes is not None else "main"


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs of a flow. ``places``: queue → its nodes, the home first."""

    nodes: list[Node]
    places: dict[str, list[Node]]

    @classmethod
    def of(cls, flow: Flow) -> Plan:
        """Raises WrongCall when a step has too many parents."""
        steps = [*flow.steps, *(step.undo for step in flow.steps if step.undo is not None)]
        numbers = {id(step): number for number, step in enumerate(steps)}
        later = _undone_later(flow.steps) if len(steps) > len(flow.steps) else {}
        nodes, places = [], dict[str, list[Node]]()
        for number, step in enumerate(steps):
            edges: dict[int | str, On] = {
                other if isinstance(other, str) else numbers[id(other)]: on
                for other, on in step.edges.items()
            }
            if step.undoes is not None:
                edges |= {numbers[id(other)]: "any" for other in later[id(step.undoes)]}
            if len(edges) > EDGES - 2:
                raise WrongCall(
                    f"step '{step.name}' waits for {len(edges):,} others, and {EDGES - 2:,} are allowed: gather them in stages"
                )
            wanted = tuple(numbers[id(other)] for other in step.sources)
            node = Node(number, step, step.call.task.queue, step.call.task.sending.level, edges, wanted)
            nodes.append(node)
            places.setdefault(node.queue, []).append(node)
        return cls(nodes, places)

    def job(self, node: Node, ids: Sequence[str], flow: str) -> NewJob:
        """The job as the server is sent it. ``ids``: full ids of all nodes; ``flow``: that of the flow's end, ``0-…``."""
        wanted = {ids[number] for number in node.wanted}
        edges = [(ids[other] if isinstance(other, int) else other, on) for other, on in node.edges.items()]
        if not any(isinstance(other, int) and on == "success" for other, on in node.edges.items()):
            edges.append((_start_of(flow), "success"))
        if node.role == "undo":
            edges.append((flow, "failure"))
        after = " ".join(f"{job}={on}{'+' if job in wanted else ''}" for job, on in edges)
        belongs = f"{flow} undo" if node.role == "undo" else flow
        local = ids[node.number].rpartition(f"{node.queue}-{node.level}-")[2]
        return packed_with(
            node.step.call,
            {"flow": self._given(node, ids, flow).carried},
            ("id", local, "flow", belongs, "after", after, "record", 1),
        )

    def described(self, node: Node, job: str) -> tuple[str, str, str]:
        """What the home keeps of a job: its role, its id, and number, name, task and edges as JSON."""
        edges = [[other, f"{on}+" if other in node.wanted else on] for other, on in node.edges.items()]
        said = [node.number, node.step.name, node.step.call.task.name, edges]
        return node.role, job, json.dumps(said, separators=(",", ":"))

    def _given(self, node: Node, ids: Sequence[str], flow: str) -> Given:
        step = node.step
        places = {id(other): place for place, other in enumerate(step.sources)}
        fills = [Fill(use.place, places[id(use.step)], use.path) for use in step.uses]
        parents = [Parent(ids[number], self.nodes[number].step.call.task.name) for number in node.wanted]
        if step.when is None:
            return Given(flow, parents, fills)
        names = {
            name: what if isinstance(what, Source) else Source("p", places[id(what)])
            for name, what in step.names.items()
        }
        return Given(flow, parents, fills, When(step.when.text, names, list(step.env)))


def _start_of(flow: str) -> str:
    """The id for which first jobs wait, from that of the flow's end."""
    place, _, rest = flow.rpartition("-0-")
    return f"{place}-1-{rest}"


def _undone_later(steps: Sequence[Step[Any]]) -> dict[int, list[Step[Any]]]:
    """For each step the undo steps that run before its own: those of the nearest steps behind it that have one."""
    behind: dict[int, dict[int, Step[Any]]] = {id(step): {} for step in steps}
    for step in reversed(steps):
        nearest = {id(step.undo): step.undo} if step.undo is not None else behind[id(step)]
        for other in step.edges:
            if not isinstance(other, str):
                behind[id(other)].update(nearest)
    return {number: list(found.values()) for number, found in behind.items()}
