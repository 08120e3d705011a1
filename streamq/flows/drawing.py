"""A flow's graph for people: lines for the terminal, and Mermaid. A step stands below what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from streamq.flows.run import StepInfo

__all__ = ["lines", "mermaid"]

_WORDS = {"failure": "if it fails", "any": "when it ended"}
_SHAPES = {
    "completed": "done",
    "dead": "failed",
    "cancelled": "failed",
    "expired": "failed",
    "skipped": "skipped",
}


def lines(steps: Sequence[StepInfo], states: Mapping[str, str], times: Mapping[str, str]) -> list[str]:
    """One line for each step, indented by how deep it stands; ``states`` and ``times`` by job."""
    depth, names = _depths(steps), {step.job: step.name for step in steps}
    width = max((2 * depth[step.job] + len(step.name) for step in steps), default=0) + 2
    found = []
    for step in steps:
        label = "  " * depth[step.job] + step.name
        parts = [label.ljust(width), states[step.job].ljust(10), times.get(step.job, "").rjust(8)]
        waits = ", ".join(_edge(names.get(other, other), on) for other, on in step.edges.items())
        parts.append(f"  undoes {waits}" if step.is_undo else f"  after {waits}" if waits else "")
        found.append("".join(parts).rstrip())
    return found


def mermaid(steps: Sequence[StepInfo], states: Mapping[str, str]) -> str:
    """A flowchart in Mermaid's language."""
    nodes = {step.job: f"s{place}" for place, step in enumerate(steps)}
    found = ["flowchart TD"]
    for step in steps:
        shape = _SHAPES.get(states[step.job], "open")
        found.append(f'  {nodes[step.job]}["{step.name}<br/>{states[step.job]}"]:::{shape}')
    for step in steps:
        for other, on in step.edges.items():
            if other in nodes:
                arrow = "-.->" if step.is_undo else "-->" if on == "success" else f'-- "{_WORDS[on]}" -->'
                found.append(f"  {nodes[other]} {arrow} {nodes[step.job]}")
    found += [
        "  classDef done fill:#d3f9d8,stroke:#2b8a3e",
        "  classDef failed fill:#ffe3e3,stroke:#c92a2a",
        "  classDef skipped fill:#f1f3f5,stroke:#868e96,stroke-dasharray:4",
        "  classDef open fill:#fff,stroke:#495057",
    ]
    return "\n".join(found)


def _edge(name: str, on: str) -> str:
    return name if on == "success" else f"{name} ({_WORDS[on]})"


def _depths(steps: Sequence[StepInfo]) -> dict[str, int]:
    """Parents come before children in the list."""
    found: dict[str, int] = {}
    for step in steps:
        found[step.job] = max((found[other] + 1 for other in step.edges if other in found), default=0)
    return found
