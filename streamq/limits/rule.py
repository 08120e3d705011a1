"""The rule of one limit, and its forms: words as people write them, the server's text, and values.

People write ``60_000/min burst 500, slots 3``, in code and on the command line alike; the server keeps
``rate=1000 burst=500 slots=3`` (docs/protocol.md, limits). The rate is that of a token bucket (Turner 1986, as in
ITU-T I.371): so many tokens a second, and ``burst`` of them at most when nobody has used any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

from streamq.durations import seconds
from streamq.errors import ConfigError

__all__ = ["EXAMPLE", "OFF", "Rule", "number_text"]

EXAMPLE: Final = '"60_000/min burst 500, slots 3"'
OFF: Final = "off"
_UNITS: Final = {"s": 1, "sec": 1, "min": 60, "m": 60, "hour": 3600, "h": 3600, "day": 86400, "d": 86400}
_SHOWN: Final = (("s", 1), ("min", 60), ("hour", 3600), ("day", 86400))
_SIZES: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_NUMBER = re.compile(r"\d[\d_,]*(?:\.\d+)?", re.ASCII)
_RATE = re.compile(rf"({_NUMBER.pattern})/([a-z]+)", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER.pattern})\s?([a-z]*)", re.ASCII | re.IGNORECASE)
_BETWEEN = re.compile(r",?\s+|=|,(?!\d)")
_MOST: Final = 1e12  # of any amount: what doubles add up exactly to a thousandth
_TEXT_MAX: Final = 200  # characters


class _Word(NamedTuple):
    """A word of a rule: how a value is read (None: it cannot be), what is due, and how it is said to people."""

    read: Callable[[Any], Any]
    due: str
    said: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one limit says. None: it says nothing of that; ``"off"``: what the code says of that does not hold.

    ``rate`` is in tokens a second, ``burst`` in tokens, ``slots`` in jobs that run at a time, ``most`` and ``bytes`` in
    jobs and bytes that wait, ``over`` what happens to one more (``refuse`` or ``drop``). ``fails`` in a row, or a share
    of ``errors`` among at least ``least`` runs in ``window`` milliseconds, open the breaker for ``open`` milliseconds.
    """

    rate: float | str | None = None
    burst: float | str | None = None
    slots: int | str | None = None
    ordered: int | str | None = None
    weight: float | str | None = None
    most: int | str | None = None
    bytes: int | str | None = None
    over: str | None = None
    fails: int | str | None = None
    errors: float | str | None = None
    window: int | str | None = None
    least: int | str | None = None
    open: int | str | None = None

    @classmethod
    def of(cls, name: str, **words: Any) -> Rule:
        """From values as they are written in code; None leaves a word out. Raises ConfigError about limit ``name``."""
        return cls(
            **{word: _checked(name, word, value) for word, value in words.items() if value is not None}
        )

    @classmethod
    def parse(cls, name: str, text: str) -> Rule:
        """From what people write. Raises ConfigError about limit ``name``."""
        if not text.strip() or len(text) > _TEXT_MAX:
            raise ConfigError(f"limit {name}: {text[:40]!r} says no limit; write it like {EXAMPLE}")
        found: dict[str, Any] = {}
        for word, value in _words(name, _BETWEEN.split(text.strip())):
            if word in found:
                raise ConfigError(f"limit {name}: {text!r} says {word} twice")
            found[word] = value
        return cls.of(name, **found)

    @classmethod
    def read(cls, text: str) -> Rule:
        """From the server's text; words of a later library are passed over."""
        known = {field.name for field in fields(cls)}
        pairs = (pair.partition("=")[::2] for pair in text.split())
        return cls(**{word: _plain(value) for word, value in pairs if word in known})

    @property
    def text(self) -> str:
        """As the server keeps it."""
        return " ".join(f"{word}={number_text(value)}" for word, value in self._given())

    @property
    def shown(self) -> str:
        """As people write it."""
        said = [f"{word} off" if value == OFF else _WORDS[word].said(value) for word, value in self._given()]
        return ", ".join(said).replace(", burst", " burst")

    def joined(self, name: str, other: Rule) -> Rule:
        """Both rules in one. Raises ConfigError when they say different things of the same."""
        said, more = dict(self._given()), dict(other._given())
        for word in said.keys() & more.keys():
            if said[word] != more[word]:
                raise ConfigError(
                    f"limit {name} is declared twice, with {_WORDS[word].said(said[word])} and with "
                    f"{_WORDS[word].said(more[word])}: declare it once and share it, or rename one of them"
                )
        return Rule(**{**said, **more})

    def _given(self) -> Iterator[tuple[str, Any]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                yield field.name, value


def number_text(value: float | str) -> str:
    """A number without exponent and trailing zeros; a word as it is."""
    if isinstance(value, str):
        return value
    digits = f"{value:.10f}" if value < 1 else f"{value:.6f}"
    return digits.rstrip("0").rstrip(".")


def _words(name: str, parts: list[str]) -> Iterator[tuple[str, Any]]:
    """Each word with its value: a rate stands alone, and so does ``ordered``; others have their value behind them."""
    left = iter(parts)
    for part in left:
        if "/" in part:
            yield "rate", part
            continue
        word = _ALIASES.get(part, part)
        if word not in _WORDS:
            raise ConfigError(
                f"limit {name}: {part!r} is no word of a limit; there are a rate (5/s, 60_000/min), "
                f"{', '.join(word for word in _WORDS if word != 'rate')}"
            )
        if word == "ordered":
            yield word, True
            continue
        value = next(left, None)
        if value is None:
            raise ConfigError(f"limit {name}: {part} has no value; {_WORDS[word].due} is due")
        yield word, value


def _checked(name: str, word: str, value: Any) -> Any:
    if value == OFF:
        return OFF
    found = _WORDS[word].read(value)
    if found is None:
        raise ConfigError(f"limit {name}: {word} is {value!r:.60}; {_WORDS[word].due} is due")
    return found


def _plain(value: str) -> Any:
    return float(value) if re.fullmatch(r"\d+\.\d+", value) else int(value) if value.isdigit() else value


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        value = _digits(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 < value <= _MOST else None


def _digits(text: str) -> float:
    return float(text.replace("_", "").replace(",", ""))


def _whole(value: Any) -> int | None:
    found = _number(value)
    return int(found) if found is not None and found == int(found) else None


def _rate(value: Any) -> float | None:
    parts = _RATE.fullmatch(value) if isinstance(value, str) else None
    unit = _UNITS.get(parts[2]) if parts else None
    found = _digits(parts[1]) / unit if parts and unit else 0.0
    return found if 1e-9 < found <= _MOST else None


def _share(value: Any) -> float | None:
    if isinstance(value, str) and value.endswith("%"):
        percent = _number(value[:-1])
        value = percent / 100 if percent is not None else None
    found = _number(value)
    return found if found is not None and found <= 1 else None


def _size(value: Any) -> int | None:
    if isinstance(value, str):
        parts = _SIZE.fullmatch(value.strip())
        unit = _SIZES.get(parts[2].lower()) if parts else None
        value = round(_digits(parts[1]) * unit) if parts and unit else None
    return _whole(value)


def _span(value: Any) -> int | None:
    try:
        return round(seconds(value) * 1000) or None
    except ConfigError:
        return None


def _yes(value: Any) -> int | None:
    return 1 if value is True else None


def _over(value: Any) -> str | None:
    return value if value in ("refuse", "drop") else None


def _said_rate(rate: float) -> str:
    unit, count = next(
        (
            (unit, rate * span)
            for unit, span in _SHOWN
            if abs(rate * span - round(rate * span)) < 1e-4 * rate * span
        ),
        ("s", rate),
    )
    return f"{_grouped(count)}/{unit}"


def _grouped(value: float) -> str:
    near = round(value)
    return f"{near:_}" if near and abs(value - near) < 1e-4 * value else f"{value:.4g}"


def _said_span(ms: int) -> str:
    for unit, span in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms % span == 0:
            return f"{ms // span}{unit}"
    return f"{ms}ms"


def _named(word: str, said: Callable[[Any], str] = _grouped) -> Callable[[Any], str]:
    return lambda value: f"{word} {said(value)}"


_AMOUNT = "a number above 0"
_COUNT = "a whole number above 0"
_TIME = 'a time like "30s"'
_ALIASES: Final = {"failures": "fails", "fail": "fails"}
_WORDS: Final[Mapping[str, _Word]] = {
    "rate": _Word(_rate, "an amount a time, like 5/s, 60_000/min, 100/hour or 1_000/day,", _said_rate),
    "burst": _Word(_number, _AMOUNT, _named("burst")),
    "slots": _Word(_whole, _COUNT, _named("slots")),
    "ordered": _Word(_yes, "True", lambda _: "ordered"),
    "weight": _Word(_number, _AMOUNT, _named("weight")),
    "most": _Word(_whole, _COUNT, _named("most")),
    "bytes": _Word(_size, 'a size like 500_000 or "200MB"', _named("bytes")),
    "over": _Word(_over, "refuse or drop", _named("over", str)),
    "fails": _Word(_whole, _COUNT, _named("failures")),
    "errors": _Word(_share, "a share like 0.5 or 50%", _named("errors", lambda share: f"{share * 100:g}%")),
    "window": _Word(_span, _TIME, _named("window", _said_span)),
    "least": _Word(_whole, _COUNT, _named("least")),
    "open": _Word(_span, _TIME, _named("open", _said_span)),
}
