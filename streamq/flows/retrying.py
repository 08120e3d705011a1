"""Running a failed flow again from where it stopped: its steps that ended without success, and their undo steps.

Parents come before children, so that whatever interrupts this leaves only steps that have ended.
"""

from __future__ import annotations

import json
from typing import Any

from streamq.errors import JobNotFound, WrongState
from streamq.protocol import Flow as Conversation
from streamq.protocol.flows import REVIVED, FlowJob, flow, jobs, relay, revive
from streamq.protocol.keys import JobId

__all__ = ["retry"]

_OVER = {"failed", "cancelled"}
_SUCCESS = {"completed"}


def retry(namespace: str, flow_id: str) -> Conversation[int]:
    """The conversation; how many jobs run again. Raises WrongState and JobNotFound."""
    where = JobId.parse(flow_id)
    anchor = where.anchor(namespace)
    fields: dict[str, str] = yield flow(anchor, 0, where.local)
    found: list[FlowJob] = yield from jobs(anchor, 0, where.local)
    _check(flow_id, fields, found)
    again = _to_run(found)
    runs = {job.job: job.run + 1 for job in again}
    for role in ("main", "undo"):
        chosen = [job for job in again if job.role == role]
        run = int(fields.get("revived", 0)) + 1
        yield from _revived(namespace, f"{flow_id}=failure@{run}", chosen, found, runs)
        for place in {JobId.parse(job.job).anchor(namespace) for job in chosen}:
            yield from relay(namespace, place, 0)  # its home knows that it runs before anything is undone
    return len(again)


def _check(flow_id: str, fields: dict[str, str], found: list[FlowJob]) -> None:
    if not fields:
        raise JobNotFound(f"flow {flow_id} is unknown, or it ended so long ago that it was forgotten")
    if fields["state"] not in _OVER:
        raise WrongState(
            f"flow {flow_id} is {fields['state']}: only one that failed or was cancelled runs again"
        )
    if any(job.role == "undo" and job.status in _SUCCESS for job in found):
        raise WrongState(f"flow {flow_id} was undone, so there is nothing to go on from: enqueue it anew")


def _to_run(found: list[FlowJob]) -> list[FlowJob]:
    """Parents before children."""
    chosen = [job for job in found if job.status and job.status not in _SUCCESS]
    return sorted(chosen, key=lambda job: _said(job)[0])


def _revived(
    namespace: str, failure: str, chosen: list[FlowJob], found: list[FlowJob], runs: dict[str, int]
) -> Conversation[None]:
    """One call for neighbours in the same shard."""
    by_number = {_said(job)[0]: job.job for job in found}
    batch: list[tuple[str, str]] = []
    place = ""
    for job in chosen:
        where = JobId.parse(job.job)
        anchor = where.anchor(namespace)
        if batch and (anchor != place or len(batch) == REVIVED):
            yield revive(place, 0, batch)
            batch = []
        place = anchor
        batch.append((where.local, _edges(job, by_number, runs, failure)))
    if batch:
        yield revive(place, 0, batch)


def _edges(job: FlowJob, by_number: dict[int, str], runs: dict[str, int], failure: str) -> str:
    """What it waits for this time: those of its parents that run again, and whose results it wants."""
    edges = []
    for other, on in _said(job)[3]:
        parent = by_number.get(other, "") if isinstance(other, int) else other
        if parent in runs:
            edges.append(f"{parent}={on}@{runs[parent]}")
        elif on.endswith("+"):
            edges.append(f"{parent}={on}")
    if job.role == "undo":
        edges.append(failure)
    return " ".join(edges) or "-"


def _said(job: FlowJob) -> list[Any]:
    said: list[Any] = json.loads(job.text)
    return said
