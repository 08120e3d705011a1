"""``streamq flow``: look at workflows and steer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

import click

from streamq.cli.command import Noun
from streamq.cli.discovery import queues_named
from streamq.cli.screen import Fields, Table
from streamq.cli.session import Session
from streamq.cli.words import amount, counted, duration, moment

if TYPE_CHECKING:
    from streamq.flows.run import FlowInfo, Run, StepInfo

__all__ = ["flow"]

_ASKED = 200  # open jobs whose states are asked for one by one


@click.group(cls=Noun)
def flow() -> None:
    """Look at workflows, cancel them, run failed ones again."""


@flow.command("list")
@click.option("--queue", "queue_name", metavar="NAME", help="Only flows whose home is this queue.")
@click.option("--state", help="Only flows in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.pass_obj
def list_flows(session: Session, queue_name: str | None, state: str | None, limit: int) -> None:
    """List workflows, the newest first."""
    found = [one for queue in queues_named(session, queue_name) for one in _flows_of(session, queue.name)]
    wanted = [one for one in found if state in (None, one.state)]
    latest = list(islice(sorted(wanted, key=lambda one: one.created_ms, reverse=True), limit))
    rows = [
        (
            one.id,
            one.name,
            one.state,
            f"{amount(one.progress.ended)}/{amount(one.progress.total)}",
            moment(one.created_ms),
        )
        for one in latest
    ]
    session.show(
        [asdict(one) | {"progress": one.progress._asdict()} for one in latest],
        Table(("flow", "name", "state", "ended", "since"), rows, "no such flows"),
    )


@flow.command()
@click.argument("flow_id", metavar="ID")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print the graph in Mermaid's language.")
@click.pass_obj
def show(session: Session, flow_id: str, as_mermaid: bool) -> None:
    """Draw a workflow's graph with the states of its steps, and when they ended."""
    from streamq.flows.drawing import lines, mermaid

    run = _run(session, flow_id)
    info, steps = run.info(), run.steps()
    states = _states(session, steps)
    if as_mermaid:
        click.echo(mermaid(steps, states))
        return
    times = {step.job: duration(step.ended_ms - info.created_ms) for step in steps if step.ended_ms}
    document = asdict(info) | {
        "progress": info.progress._asdict(),
        "steps": [asdict(step) | {"state": states[step.job]} for step in steps],
    }
    session.show(document, Fields(_shown(info)), "", *lines(steps, states, times))


@flow.command()
@click.argument("flow_ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def cancel(session: Session, flow_ids: Sequence[str]) -> None:
    """Stop what has not ended; what completed is undone, where steps say how."""
    for flow_id in flow_ids:
        _run(session, flow_id).cancel()
    session.show(dict.fromkeys(flow_ids, "cancelled"), *(f"{one} is being cancelled" for one in flow_ids))


@flow.command()
@click.argument("flow_ids", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def retry(session: Session, flow_ids: Sequence[str]) -> None:
    """Run the steps again that ended without success, and those behind them."""
    counts = {flow_id: _run(session, flow_id).retry() for flow_id in flow_ids}
    session.show(counts, *(f"{one}: {counted(count, 'job')} will run again" for one, count in counts.items()))


def _run(session: Session, flow_id: str) -> Run[None]:
    return session.any_app.flow(flow_id)


def _flows_of(session: Session, queue: str) -> list[FlowInfo]:
    from streamq.flows.run import FlowInfo
    from streamq.protocol.flows import FlowPage, flows
    from streamq.protocol.keys import anchor_of

    found, start = list[FlowInfo](), "-"
    while start:
        page: FlowPage = session.run(flows(anchor_of(session.config.namespace, queue), 0, start, 500))
        found += [FlowInfo.read(f"{queue}-{fields['id']}", fields) for fields in page.flows]
        start = page.next
    return found


def _states(session: Session, steps: Sequence[StepInfo]) -> dict[str, str]:
    """Of all jobs; those of very many that have not ended are simply ``open``."""
    states = {step.job: str(step.status or "open") for step in steps}
    for job in [job for job, state in states.items() if state == "open"][:_ASKED]:
        queue, local = session.place(job)
        states[job] = session.run(queue.job(local)).get("state", "open")
    return states


def _shown(info: FlowInfo) -> Mapping[str, str]:
    counts = ", ".join(f"{amount(count)} {state}" for state, count in info.counts.items())
    return {
        "flow": info.id,
        "name": info.name,
        "state": info.state.value,
        "ended": f"{amount(info.progress.ended)} of {counted(info.progress.total, 'job')}{f' ({counts})' if counts else ''}",
        "since": moment(info.created_ms),
        "took": duration(info.ended_ms - info.created_ms) if info.ended_ms else "",
    }
