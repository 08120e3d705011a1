"""``streamq flow`` as people use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers import Server
from shells import Shell, shell
from streamq import App, Flow, FlowState


@pytest.fixture
def shop(tmp_path: Path, valkey: Server) -> Shell:
    return shell(tmp_path, valkey.url)


def a_flow(url: str) -> str:
    """A flow of which the first step fails; its id."""
    with App(url) as app:

        @app.task(queue="mail")
        async def send_email(to: str) -> str:
            return to

        @app.task(queue="sums")
        def add(a: int, b: int) -> int:
            return a + b

        flow = Flow("letters")
        first = flow.add(send_email.call("nobody"), name="first")
        flow.add(add.call(1, 2), name="second", after=[first])
        flow.add(add.call(3, 4), name="third", after={first: "failure"})
        return flow.enqueue().id


def test_a_flow_is_listed_drawn_retried_and_cancelled(shop: Shell) -> None:
    flow = a_flow(shop.url)
    shop.run("work", "shop", "--burst", "--workers", "1")
    with App(shop.url) as app:
        assert app.flow(flow).wait("20s") is FlowState.FAILED
    assert [one["id"] for one in shop.run("flow", "list", "--state", "failed", "--json").document] == [flow]
    drawn = shop.run("flow", "show", flow).out.splitlines()
    assert [line.split()[:2] for line in drawn[-3:]] == [
        ["first", "dead"],
        ["second", "skipped"],
        ["third", "completed"],
    ]
    assert drawn[-1].endswith("after first (if it fails)")
    graph = shop.run("flow", "show", flow, "--mermaid").out
    assert ('s0["first<br/>dead"]:::failed' in graph, 's0 -- "if it fails" --> s2' in graph) == (True, True)
    steps = shop.run("flow", "show", flow, "--json").document["steps"]
    assert [(step["name"], step["state"], step["by_parents"]) for step in steps] == [
        ("first", "dead", False),
        ("second", "skipped", True),
        ("third", "completed", False),
    ]
    assert "2 jobs will run again" in shop.run("flow", "retry", flow).out
    assert "is being cancelled" in shop.run("flow", "cancel", flow).out
    assert shop.run("flow", "show", flow, "--json").document["state"] == "cancelled"
    assert "unknown" in shop.run("flow", "show", "mail-0-1-1", code=1).err
