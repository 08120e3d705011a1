"""A text becomes a timetable: takes the zone and the policy from it, and gives the rest to whoever reads its kind."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, cast, get_args

from streamq.errors import BadSchedule
from streamq.schedules.cron import looks_like_cron, parse_cron
from streamq.schedules.draft import Place
from streamq.schedules.phrases import parse_phrase
from streamq.schedules.rrule import looks_like_rrule, parse_rrule
from streamq.schedules.timetable import Timetable, aware
from streamq.schedules.walltime import DstPolicy, Fold, Gap
from streamq.schedules.wording import FOLD_WORDS, GAP_WORDS, WALL_CLOCK_WORDS
from streamq.schedules.zones import find_zone, known_zone

__all__ = ["parse"]

_LONGEST: Final = 1000
_ZONE_LIKE: Final = re.compile(r"[A-Za-z_]+/[A-Za-z_]+", re.ASCII)
_SETTING: Final = re.compile(r"(?<!\S)(gap|fold)=(\S*)")
_SAID: Final = {
    **{words: ("gap", value) for value, words in GAP_WORDS.items()},
    **{words: ("fold", value) for value, words in FOLD_WORDS.items()},
}


def parse(
    text: str, zone: str | None = None, now: datetime | None = None, gap: Gap = "shift", fold: Fold = "first"
) -> Timetable:
    """The timetable that a text describes.

    text: a cron expression, a phrase, an interval, a date and time, or an RRULE; with a zone (``Europe/Rome``) and a
        policy (``gap=skip fold=both``) of its own, if it names them.
    zone: an IANA name, for texts that name none; UTC by default.
    now: the present (aware), for texts that count from it (``tomorrow at 5pm``): they become an absolute time.
    gap, fold: see ``DstPolicy``.

    Raises BadSchedule naming the words that were not understood, or the readings of what is ambiguous.
    """
    if not text.strip() or len(text) > _LONGEST:
        raise BadSchedule(
            f"a schedule is a text of 1 to {_LONGEST} characters, as in 'every weekday at 9am Europe/Rome'"
        )
    rest, settings = _settings(text)
    policy = _policy({"gap": gap, "fold": fold} | settings)
    words, named = _zone(rest.split())
    if not words:
        raise BadSchedule(f"{text!r} says no times")
    place = Place(
        named or known_zone(zone or "UTC"), named is not None, policy, None if now is None else aware(now)
    )
    timetable = _read(words, place)
    if len(timetable.written) > _LONGEST:
        raise BadSchedule(f"{text!r} is too long: make several schedules of it")
    return timetable


def _read(words: list[str], place: Place) -> Timetable:
    if looks_like_cron(words):
        return parse_cron(words, place.zone, place.policy)
    if looks_like_rrule(words):
        return parse_rrule(words, place)
    return parse_phrase(" ".join(words), place)


def _settings(text: str) -> tuple[str, dict[str, str]]:
    """The text without what it says of the policy, as ``gap=skip`` or in the sentences of ``Timetable.words``."""
    rest, *sentences = (part.strip() for part in text.split(";")) if "=" not in text else (text,)
    settings = dict(_said(sentence) for sentence in sentences if sentence != WALL_CLOCK_WORDS)
    for name, value in _SETTING.findall(rest):
        if settings.setdefault(name, value) != value:
            raise BadSchedule(f"{text!r} says its {name} twice")
    return _SETTING.sub(" ", rest), settings


def _said(sentence: str) -> tuple[str, str]:
    if sentence not in _SAID:
        raise BadSchedule(f"not understood: {sentence!r}. After ';' stands what happens when clocks change")
    return _SAID[sentence]


def _policy(settings: dict[str, str]) -> DstPolicy:
    for name, allowed in (("gap", get_args(Gap)), ("fold", get_args(Fold))):
        if settings[name] not in allowed:
            raise BadSchedule(f"{name}={settings[name]!r} is not known: use {', '.join(allowed)}")
    return DstPolicy(cast("Gap", settings["gap"]), cast("Fold", settings["fold"]))


def _zone(words: list[str]) -> tuple[list[str], str | None]:
    """The words without the zone among them (and the "in" before it), and the zone."""
    rest: list[str] = []
    found: str | None = None
    for word in words:
        name = find_zone(word.strip("()"))
        if name is None and not _ZONE_LIKE.fullmatch(word):
            rest.append(word)
            continue
        name = name or known_zone(word)
        if found not in {None, name}:
            raise BadSchedule(f"{' '.join(words)!r} names two zones: {found} and {name}")
        found = name
        if rest and rest[-1].lower() == "in":
            rest.pop()
    return rest, found
