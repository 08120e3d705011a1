"""A place in the words of a phrase: what was read, what comes next, and what nobody understood."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from streamq.errors import BadSchedule

__all__ = ["Cursor", "ambiguous"]

_Item = TypeVar("_Item")
_WORD: Final = re.compile(r"[^\s,]+|,")
_DATE_TIME: Final = re.compile(r"(?<!\S)(\d{4}-\d{2}-\d{2})t(?=\d)", re.ASCII)
_OFFSET: Final = re.compile(
    r"(?<=\d\d:\d\d)(z|[+-]\d\d:\d\d)(?!\S)|(?<=\d\d:\d\d:\d\d)(z|[+-]\d\d:\d\d)(?!\S)", re.ASCII
)


class Cursor:
    """Reads words one after the other; whoever cannot go on marks the word it did not understand."""

    def __init__(self, text: str) -> None:
        self.text = text
        lowered = _OFFSET.sub(r" \1\2", _DATE_TIME.sub(r"\1 ", text.lower()))
        self.words = _WORD.findall(lowered)
        self.place = 0
        self.unknown: list[str] = []

    @property
    def ended(self) -> bool:
        """Whether all words are read."""
        return self.place >= len(self.words)

    def peek(self, ahead: int = 0) -> str:
        """The next word, or one after it; empty behind the last."""
        place = self.place + ahead
        return self.words[place] if place < len(self.words) else ""

    def next(self) -> str:
        """Reads a word, whatever it is."""
        word = self.peek()
        self.place += 1
        return word

    def take(self, *options: str) -> str:
        """Reads the next word if it is one of these; otherwise an empty text."""
        return self.next() if not self.ended and self.peek() in options else ""

    def take_all(self, words: str) -> bool:
        """Reads these words, all or none."""
        wanted = words.split()
        if self.words[self.place : self.place + len(wanted)] != wanted:
            return False
        self.place += len(wanted)
        return True

    def take_glue(self) -> bool:
        """Reads what stands between the items of a list: a comma, "and", or both."""
        comma = self.take(",")
        return bool(self.take("and") or comma)

    def attempt(self, item: Callable[[Cursor], _Item | None]) -> _Item | None:
        """Reads an item, or nothing at all."""
        before = self.place
        found = item(self)
        if found is None:
            self.place = before
        return found

    def several(self, item: Callable[[Cursor], _Item | None]) -> list[_Item]:
        """Reads a list of items: ``a``, ``a and b``, ``a, b and c``; stops before what is none."""
        found: list[_Item] = []
        before = self.place
        while (one := self.attempt(item)) is not None:
            found.append(one)
            before = self.place
            if not self.take_glue():
                return found
        self.place = before
        return found

    def missed(self) -> None:
        """Marks the next word as not understood, and goes on behind it."""
        if self.ended:
            raise BadSchedule(f"{self.text!r} ends too early: something is missing after {self.words[-1]!r}")
        self.unknown.append(self.next())


def ambiguous(words: str, *readings: str) -> BadSchedule:
    """The refusal of words that can be read in several ways."""
    return BadSchedule(f"{words!r} is ambiguous: say {' or '.join(repr(reading) for reading in readings)}")
