"""Printing: tables and fields in colour on a terminal, plain aligned lines in a pipe, one document as JSON.

Rich is imported for terminals only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.table import Table as RichTable

__all__ = ["Fields", "Screen", "Table", "View", "json_text", "rich_table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. ``empty`` is said when there are none.

    With ``leaves``, each row takes one line of a terminal: where it is narrow, these columns go, the first one first,
    and the ``flexible`` one is cut.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str = "nothing"
    leaves: Sequence[str] = ()
    flexible: str = ""


@dataclass(frozen=True, slots=True)
class Fields:
    """Names and values, one a line; those without a value are left out."""

    pairs: Mapping[str, str]


_CUT = 16  # of a flexible column at least
View = Table | Fields | str
_COLOURS = {
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
    "dead": "red",
    "active": "green",
    "busy": "green",
    "paused": "yellow",
    "retrying": "yellow",
}


class Screen:
    """Prints to one stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rich = stream.isatty()

    def document(self, document: Any) -> None:
        """One JSON document."""
        self._stream.write(json_text(document, indent=2) + "\n")

    def view(self, view: View) -> None:
        """A text, fields or a table."""
        if isinstance(view, str):
            self._lines([view])
        elif isinstance(view, Fields):
            self._fields(view)
        elif not view.rows:
            self._lines([view.empty] if self._rich else [])
        elif self._rich:
            self._print(view)
        else:
            self._lines(_aligned([view.headings, *view.rows]))

    def _fields(self, fields: Fields) -> None:
        shown = {name: value for name, value in fields.pairs.items() if value}
        width = max(map(len, shown), default=0) + 2
        lines = [name.ljust(width) + value.replace("\n", "\n" + " " * width) for name, value in shown.items()]
        self._lines(lines)

    def _lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._stream.write(line + "\n")

    def _print(self, table: Table) -> None:
        from rich.console import Console

        console = Console(file=self._stream)
        console.print(rich_table(table, console.width))


def json_text(value: Any, indent: int | None = None) -> str:
    """The value as JSON; what JSON does not know as text."""
    return json.dumps(value, indent=indent, default=_plain, ensure_ascii=False)


def rich_table(table: Table, width: int) -> RichTable:
    """The table for a terminal of this width, with the columns that it has room for."""
    gone = next(
        (n for n in range(len(table.leaves)) if _width(table, table.leaves[:n]) <= width), len(table.leaves)
    )
    return _drawn(table, table.leaves[:gone])


def _width(table: Table, gone: Sequence[str]) -> int:
    """The least width that shows all but the columns that are gone."""
    columns = zip(table.headings, zip(*table.rows, strict=True), strict=True)
    widths = [
        _CUT if heading == table.flexible else max(map(len, (heading, *cells)))
        for heading, cells in columns
        if heading not in gone
    ]
    return sum(widths) + 3 * (len(widths) - 1) + 2


def _drawn(table: Table, gone: Sequence[str]) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    one_line = bool(table.leaves)
    shown = [place for place, heading in enumerate(table.headings) if heading not in gone]
    for place in shown:
        heading = table.headings[place]
        drawn.add_column(heading, no_wrap=one_line and heading != table.flexible)
    for row in table.rows:
        cells = (row[place] for place in shown)
        drawn.add_row(*(Text(cell, _COLOURS.get(cell, ""), no_wrap=one_line or None) for cell in cells))
    return drawn


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row, columns two spaces apart, nothing behind the last."""
    clean = [[" ".join(cell.split()) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in clean) for i in range(len(clean[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in clean
    ]


def _plain(value: Any) -> Any:
    """What JSON does not know, as JSON or text."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
