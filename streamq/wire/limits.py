"""The limits of names, tags, payloads and texts, in one place, with errors that say what to do.

The Lua functions check the same limits again (lua/prelude.lua): a client can be foreign or old.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from streamq.errors import ConfigError, PayloadTooLarge

__all__ = [
    "DEPTH_MAX",
    "ERROR_MAX",
    "PAYLOAD_MAX",
    "QUEUE_MAX",
    "TAGS_MAX",
    "TAG_MAX",
    "TASK_MAX",
    "TRACEBACK_MAX",
    "check_payload",
    "check_queue",
    "check_tags",
    "check_task",
    "clip_error",
    "clip_traceback",
    "text_of",
]

PAYLOAD_MAX = 1024 * 1024  # bytes, before compression; the default of the setting payload_max
DEPTH_MAX = 32  # containers within containers, the list of the arguments and the payload itself included
TASK_MAX = 128  # characters of a task's name
QUEUE_MAX = 64  # characters of a queue's name
TAGS_MAX = 32  # tags of a job
TAG_MAX = 256  # bytes of a tag
ERROR_MAX = 8 * 1024  # bytes of an error's text
TRACEBACK_MAX = 8 * 1024  # bytes of a traceback

_TASK = re.compile(rf"[A-Za-z0-9_.:-]{{1,{TASK_MAX}}}")
_QUEUE = re.compile(rf"[A-Za-z0-9_.:-]{{1,{QUEUE_MAX}}}")
_ALPHABET = "letters, digits and _ . : -"
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_FORBIDDEN_IN_TAGS = re.compile(r"[,\x00-\x1f\x7f]")


def check_task(name: object) -> str:
    """The name of a task, or ConfigError."""
    if isinstance(name, str) and _TASK.fullmatch(name):
        return name
    raise ConfigError(
        f"{_shown(name)} cannot be the name of a task: use 1 to {TASK_MAX} of {_ALPHABET}, or give name="
    )


def check_queue(name: object) -> str:
    """The name of a queue, or ConfigError."""
    if isinstance(name, str) and _QUEUE.fullmatch(name):
        return name
    raise ConfigError(f"{_shown(name)} cannot be the name of a queue: use 1 to {QUEUE_MAX} of {_ALPHABET}")


def check_tags(tags: object) -> tuple[str, ...]:
    """Tags without repetition, in their order, or ConfigError."""
    if isinstance(tags, str):
        raise ConfigError(f"tags is the text {_shown(tags)}: give a list, tags=[{_shown(tags)}]")
    if not isinstance(tags, Iterable):
        raise ConfigError(f"tags={_shown(tags)} is no list of texts: give one, or tags=[] for none")
    found = tuple(dict.fromkeys(_checked_tag(tag) for tag in tags))
    if len(found) > TAGS_MAX:
        raise ConfigError(f"{len(found)} tags are too many: a job has at most {TAGS_MAX}")
    return found


def check_payload(size: int, limit: int, what: object) -> None:
    """PayloadTooLarge when ``what`` (as in ``the payload of send_email``) has more than ``limit`` bytes."""
    if size > limit:
        raise PayloadTooLarge(
            f"{what} has {size:,} bytes, and {limit:,} are allowed (payload_max): "
            "store the data elsewhere and pass its key or path"
        )


def clip_error(text: str) -> str:
    """An error's text, bounded: its beginning says what happened."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= ERROR_MAX:
        return raw.decode()
    mark = f" … ({len(raw):,} bytes)"
    return raw[: ERROR_MAX - len(mark.encode())].decode("utf-8", "ignore") + mark


def clip_traceback(text: str) -> str:
    """A traceback, bounded: its end says where it happened."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= TRACEBACK_MAX:
        return raw.decode()
    mark = f"({len(raw):,} bytes) …\n"
    return mark + raw[len(raw) - TRACEBACK_MAX + len(mark.encode()) :].decode("utf-8", "ignore")


def text_of(error: BaseException) -> str:
    """The text of an error, bounded; an odd ``__str__`` does no harm."""
    try:
        return clip_error(str(error))
    except Exception:
        return "(its text cannot be shown)"


def _checked_tag(tag: object) -> str:
    if not isinstance(tag, str) or not tag or _FORBIDDEN_IN_TAGS.search(tag):
        raise ConfigError(f"{_shown(tag)} cannot be a tag: use text without commas and control characters")
    if _SURROGATE.search(tag):
        raise ConfigError(
            f"{_shown(tag)} cannot be a tag: it has half of a surrogate pair, which is no character"
        )
    if len(tag.encode()) > TAG_MAX:
        raise ConfigError(f"the tag {_shown(tag)} is too long: at most {TAG_MAX} bytes")
    return tag


def _shown(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
