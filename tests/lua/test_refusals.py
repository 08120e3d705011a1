"""A refused call has changed nothing, and whatever is wrong with a call, the answer is a refusal with a known word."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from shards import NOW, Shard
from streamq.errors import from_reply

BAD = (
    "", " ", "x", "-1", "1.5", "nan", "inf", "1e400", "0x1f", " 1", "1e3", "99999999999999999999", "a b", "{x}", "é\0\n",
    "5-1-1", "5-99999999999999999999-0", "18446744073709551616-1", "5" * 2_000,
)  # fmt: skip


def good_calls(shard: Shard) -> dict[str, list[object]]:
    """A call of each function that is accepted, by function (and a second form of some)."""
    n = shard.named
    running, consumer = n["running"], n["consumer"]
    level, _, entry = running.partition("-")
    return {
        "enqueue": ["p" * 22, "0", "8", "5", "mail", "body"],
        "enqueue with options": [
            "-", "0", "0", "5:14", "mail", "body", "delay", "5", "unique", "k", "until", "start",
            "on_conflict", "reject", "expires", "100", "tags", "a,b", "record", "1",
        ],
        "register": ["3000", "about"],
        "take": [consumer, "0", "1", "1"],
        "take that settles": [consumer, "0", "0", "0", "ok", level, "1", "line", entry],
        "finish": [consumer, "0", "retry", level, entry, "4", "delay", "100", "error", "E: x"],
        "finish with a result": [consumer, "0", "done", level, entry, "4", "result", "r", "ttl", "1000"],
        "adopt": [consumer, "1"],
        "renew": ["3000", consumer],
        "abandon": [consumer, "shared", "2", "how", "SIGSEGV", running],
        "retire": [consumer],
        "recover": [],
        "progress": [consumer, "0", level, entry, running, "2", "fraction", "0.5"],
        "report": ["done", "1"],
        "journal": [consumer, "0", level, entry, running, "step charge", "result", "cursor rows", "7"],
        "recall": [consumer, "0", level, entry, running],
        "journal_of": [running],
        "await": [consumer, "0", level, entry, running, "signal", "approved", "1000", "failed"],
        "signal": [n["suspended"], "approved", "body"],
        "finish that waits": [consumer, "0", "wait", level, entry, "2", "for", "sleep 1"],
        "wait": [n["waiting"], shard.key("reply:2")],
        "unwait": [n["waiting"], shard.key("reply:1")],
        "pause": ["note"],
        "resume": [],
        "cancel": [n["waiting"]],
        "promote": [n["delayed"]],
        "retry": [n["dead"]],
        "retry as another": [n["dead"], "task", "body"],
        "retry_all": ["-", "0", "10", "task", "mail"],
        "purge": ["pending", "-", "0"],
        "drop": [n["dead"]],
        "schedule_put": [
            "daily", "api", NOW + 5, NOW + 6, "8", "expression", "every day", "task", "mail", "level", "5", "body", "b",
        ],
        "schedule_pause": ["hourly", "note"],
        "schedule_resume": ["hourly", NOW + 60_000, NOW + 60_000],
        "schedule_remove": ["hourly"],
        "schedule_tick": [
            "hourly", "1", NOW + 60_000, NOW + 90_000, NOW + 90_001, NOW + 50_000, NOW + 60_000, "5:2", "mail", "s", "tags", "a",
        ],
        "schedule_fire": ["hourly", NOW, "5", "mail", "s"],
        "schedule_checked": ["hourly", NOW],
        "schedule_offer": ["shop", "abc"],
        "schedule_keep": ["shop", "abc", "nightly"],
        "schedule_read": ["hourly", "unknown"],
        "schedule_list": ["-", "10"],
        "stats": [],
        "job": [n["running"]],
        "explain": [n["waiting"]],
        "list": ["pending", "-", "10"],
        "workers": [],
        "minutes": ["0", "10"],
        "conservation": [],
        "audit": ["10"],
        "strike": ["s2", "mail", "4", "for", "1000", "note", "why", "tenant", "acme"],
        "unstrike": [n["strike"], "anna"],
        "strikes": [],
        "enqueue behind a gate": [
            "-", "0", "0", "5:6", "mail", "body", "after", f"mail-{n['delayed']}=any+ post-5-1-1=failure",
            "flow", f"mail-{n['flow']} undo", "id", n["reserved"],
        ],
        "reserve": ["2"],
        "flow_open": ["order", "1000", "2"],
        "flow_describe": [n["flow"], "main", "mail-5-1-1", "text"],
        "flow_commit": [n["flow"], "undo", "mail-5-1-1", "text"],
        "flow_cancel": [n["flow"], "-"],
        "revive": [n["skipped"], f"mail-{n['gated']}=success+"],
        "outbox": ["0-0"],
        "relayed": ["1-1"],
        "hear": [
            "mail", "close", "post-5-1-1", "completed", "result", f"mail-{n['gated']}",
            "mail", "attend", f"mail-{n['gated']}", "-", "", "post-5-1-1+",
        ],
        "flow": [n["flow"]],
        "flow_jobs": [n["flow"], "-", "10"],
        "flows": ["-", "10"],
        "take that skips": [consumer, "0", "0", "0", "skip", level, entry, "2", "reason", "false"],
        "take that puts aside": [consumer, "0", "0", "0", "strike", level, entry, "2", "reason", n["strike"]],
    }  # fmt: skip


def distorted(args: list[object]) -> Iterator[list[object]]:
    """The call with arguments missing, in excess, or replaced by nonsense."""
    for length in range(len(args)):
        yield args[:length]
    yield [*args, "surplus"]
    yield [*args, "surplus", "twice"]
    for place in range(len(args)):
        for bad in BAD:
            yield [*args[:place], bad, *args[place + 1 :]]


def test_every_function_accepts_a_good_call(full_shard: Shard) -> None:
    picture = full_shard.picture()
    for name, args in good_calls(full_shard).items():
        full_shard.call(name.split(" ")[0], *args)
        full_shard.restore(picture)


def test_a_distorted_call_is_accepted_or_refused_in_words_and_then_nothing_has_changed(
    full_shard: Shard,
) -> None:
    picture = full_shard.picture()
    wrong = []
    for name, args in good_calls(full_shard).items():
        for call in distorted(args):
            try:
                full_shard.call(name.split(" ")[0], *call)
            except redis.ResponseError as error:
                if from_reply(str(error)) is None:
                    wrong.append(f"{name} {call}: {error}")
                if full_shard.picture() != picture:
                    wrong.append(f"{name} {call} was refused and has changed something: {error}")
                    full_shard.restore(picture)
            else:
                full_shard.restore(picture)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("now", BAD[:1] + BAD[2:8] + BAD[-1:])
def test_a_clock_that_is_no_number_is_refused_by_every_function(full_shard: Shard, now: str) -> None:
    picture = full_shard.picture()
    for name, args in good_calls(full_shard).items():
        with pytest.raises(redis.ResponseError, match="^INVALID now"):
            full_shard.client.fcall(f"sq1_{name.split(' ')[0]}", 1, full_shard.anchor, now, *args)
        assert full_shard.picture() == picture


REFUSED: dict[str, tuple[str, str, list[object]]] = {
    "an older call of a channel": ("STALE", "enqueue", ["p" * 22, "0", "6", "5", "mail", "x"]),
    "a held unique key": (
        "CONFLICT", "enqueue", ["-", "0", "0", "5", "mail", "x", "5:4", "mail", "x", "unique", "key", "on_conflict", "reject"],
    ),
    "a held key in the same call": (
        "CONFLICT", "enqueue",
        ["-", "0", "0", "5:2", "mail", "x", "unique", "new", "5:4", "mail", "x", "unique", "new", "on_conflict", "reject"],
    ),
    "a job too many": ("LIMIT", "enqueue", ["-", "0", "0", *["5", "mail", "x"] * 1001]),
    "a body too large": ("LIMIT", "enqueue", ["-", "0", "0", "5", "mail", "x" * 1_200_000]),
    "too many bytes in all": ("LIMIT", "enqueue", ["-", "0", "0", *["5", "mail", "x" * 1_000_000] * 5]),
    "a good job before a bad one": ("INVALID", "enqueue", ["-", "0", "0", "5", "mail", "x", "5", "not a name", "x"]),
    "two due times": ("INVALID", "enqueue", ["-", "0", "0", "5:4", "mail", "x", "delay", "1", "at", "1"]),
    "a level above nine": ("INVALID", "enqueue", ["-", "0", "0", "10", "mail", "x"]),
    "a removal of what is used": ("STATE", "remove", []),
    "an unknown outcome": ("INVALID", "take", ["{consumer}", "0", "1", "0", "forget", "5", "1-1", "0"]),
    "a bad settlement behind a good one": (
        "INVALID", "take", ["{consumer}", "0", "0", "0", "ok", "9", "1", "", "{running_entry}", "dead", "9", "x", "0"],
    ),
    "a taker that wants too much": ("INVALID", "take", ["{consumer}", "0", "501", "0"]),
    "a promotion of what runs": ("STATE", "promote", ["{running}"]),
    "a schedule of a taken name": (
        "STATE", "schedule_put",
        ["nightly", "api", "-", "-", "8", "expression", "every day", "task", "mail", "level", "5", "body", "b"],
    ),
    "a removal of what code declares": ("STATE", "schedule_remove", ["nightly"]),
    "a pause of an unknown schedule": ("NOSCHEDULE", "schedule_pause", ["weekly"]),
    "a run of an unknown schedule": ("NOSCHEDULE", "schedule_fire", ["weekly", "1", "5", "mail", "s"]),
    "a schedule that is due before it fires": (
        "INVALID", "schedule_put",
        ["daily", "api", "10", "9", "8", "expression", "every day", "task", "mail", "level", "5", "body", "b"],
    ),
    "a tick of two jobs": (
        "INVALID", "schedule_tick", ["hourly", "1", "1", "2", "2", "-", "1", "5", "mail", "s", "5", "mail", "t"],
    ),
    "a retry of what is not dead": ("NOTFOUND", "retry", ["{running}"]),
    "a drop of what is not dead": ("NOTFOUND", "drop", ["{waiting}"]),
    "a reply key elsewhere": ("INVALID", "wait", ["{waiting}", "elsewhere"]),
    "a purge of what is still to come": ("INVALID", "purge", ["pending", "-", "1700000000001-0"]),
    "a strike with two ends": ("INVALID", "strike", ["s2", "mail", 4, "for", "1", "until", "1"]),
    "a strike with half a condition": ("INVALID", "strike", ["s2", "mail", 0, "tenant"]),
    "a promotion of what is struck": ("STATE", "promote", ["{struck}"]),
    "a mode that nobody knows": ("INVALID", "abandon", ["{consumer}", "together", "0"]),
    "a journal of another kind": ("INVALID", "journal", ["{consumer}", "0", "9", "{running_entry}", "{running}", "until x", "1"]),
    "a signal that is too large": ("LIMIT", "signal", ["{running}", "approved", "x" * 65_537]),
    "a signal for a dead job": ("STATE", "signal", ["{dead}", "approved", "x"]),
    "a wait for nothing": ("INVALID", "finish", ["{consumer}", "0", "wait", "9", "{running_entry}", "0"]),
    "a death that is told at too great a length": (
        "LIMIT", "abandon", ["{consumer}", "alone", "2", "how", "x" * 201, "{running}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_call_has_changed_nothing(full_shard: Shard, what: str) -> None:
    word, function, args = REFUSED[what]
    names = {**full_shard.named, "running_entry": full_shard.named["running"][2:]}
    picture = full_shard.picture()
    filled = [arg.format(**names) if isinstance(arg, str) and arg.startswith("{") else arg for arg in args]
    with pytest.raises(redis.ResponseError, match=f"^{word} "):
        full_shard.call(function, *filled)
    assert full_shard.picture() == picture


def test_an_older_generation_is_stale_for_every_call_of_a_consumer(full_shard: Shard) -> None:
    consumer = full_shard.named["consumer"]
    full_shard.call("adopt", consumer, 5)
    picture = full_shard.picture()
    for function, args in (
        ("take", [consumer, 4, 1, 0]),
        ("finish", [consumer, 4]),
        ("adopt", [consumer, 4]),
        ("progress", [consumer, 4, "9", "1-1", "9-1-1", 0]),
    ):
        with pytest.raises(redis.ResponseError, match="^STALE generation 4"):
            full_shard.call(function, *args)
        assert full_shard.picture() == picture
