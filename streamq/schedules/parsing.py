"""A text becomes a timetable: takes the zone and the policy from it, and gives the rest to whoever reads its kind."""

from __future__ import annotations

import difflib
import re
from datetime import datetime
from functools import cache
from typing import Final, cast, get_args
from zoneinfo import available_timezones

from streamq.errors import BadSchedule
from streamq.schedules.cron import looks_like_cron, parse_cron
from streamq.schedules.draft import Place
from streamq.schedules.phrases import parse_phrase
from streamq.schedules.timetable import Timetable, aware
from streamq.schedules.walltime import DstPolicy, Fold, Gap
from streamq.schedules.wording import FOLD_WORDS, GAP_WORDS, WALL_CLOCK_WORDS

__all__ = ["parse"]

_LONGEST: Final = 400
_ZONE_LIKE: Final = re.compile(r"[A-Za-z_]+/[A-Za-z_]+", re.ASCII)
_SETTING: Final = re.compile(r"(?<!\S)(gap|fold)=(\S*)")
_NOT_ZONES: Final = frozenset({"localtime", "Factory", "posixrules"})
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
        named or _known_zone(zone or "UTC"), named is not None, policy, None if now is None else aware(now)
    )
    if looks_like_cron(words):
        return parse_cron(words, place.zone, policy)
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
        name = _zones().get(word.strip("()").lower())
        if name is None and not _ZONE_LIKE.fullmatch(word):
            rest.append(word)
            continue
        name = name or _known_zone(word)
        if found not in {None, name}:
            raise BadSchedule(f"{' '.join(words)!r} names two zones: {found} and {name}")
        found = name
        if rest and rest[-1].lower() == "in":
            rest.pop()
    return rest, found


def _known_zone(name: str) -> str:
    found = _zones().get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name.lower(), _zones(), n=1)
        hint = f": did you mean {_zones()[near[0]]}?" if near else ": use an IANA name, as Europe/Rome"
        raise BadSchedule(f"{name!r} is no time zone{hint}")
    return found


@cache
def _zones() -> dict[str, str]:
    """Names of zones by their small letters."""
    return {name.lower(): name for name in sorted(available_timezones() - _NOT_ZONES)}
