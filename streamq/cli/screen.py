"""Printing: tables and fields in colour on a terminal, plain aligned lines in a pipe, one document as JSON.

Rich is imported for terminals only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, TextIO

__all__ = ["Fields", "Screen", "Table", "View", "json_text", "rich_table"]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. ``empty`` is said when there are none; ``styles`` colours cells by their text."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    empty: str = "nothing"
    styles: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Fields:
    """Names and values, one a line; those without a value are left out."""

    pairs: Mapping[str, str]


View = Table | Fields | str
_COLOURS = {
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
    "dead": "red",
    "active": "green",
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
            self._print(rich_table(view))
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

    def _print(self, thing: object) -> None:
        from rich.console import Console

        Console(file=self._stream).print(thing)


def json_text(value: Any, indent: int | None = None) -> str:
    """The value as JSON; what JSON does not know as text."""
    return json.dumps(value, indent=indent, default=_plain, ensure_ascii=False)


def rich_table(table: Table) -> Any:
    """The table for a terminal."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(*table.headings, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for row in table.rows:
        drawn.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
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
