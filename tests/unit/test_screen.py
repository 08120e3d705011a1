"""What a terminal is shown: tables that keep each row on one line, however narrow it is."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from streamq.cli.screen import Table, rich_table

WIDE = Table(
    ("queue", "pending", "bars", "wait p50 p95", "where"),
    [("mail", "1,234", "▁" * 15, "12.5 s / 12.5 s / 12.5 s", "a-host-with-a-name pid=12345 slots=100")] * 3,
    leaves=("bars", "wait p50 p95"),
    flexible="where",
)


@pytest.mark.parametrize(
    ("width", "shown"),
    [(160, {"bars", "wait"}), (90, {"bars", "wait"}), (72, {"wait"}), (40, set[str]())],
)
def test_a_row_stays_on_one_line_and_columns_leave_in_their_order(width: int, shown: set[str]) -> None:
    paper = io.StringIO()
    console = Console(file=paper, width=width)
    console.print(rich_table(WIDE, width))
    heading, _, *rows = [line for line in paper.getvalue().splitlines() if line.strip()]
    assert len(rows) == len(WIDE.rows), rows
    assert shown == {"bars", "wait"} & set(heading.split())
    for row in rows:
        assert row.split()[:2] == ["mail", "1,234"]
        assert (row.count("12.5 s") == 3) == ("wait" in shown)
