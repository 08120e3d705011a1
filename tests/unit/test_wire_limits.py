"""The limits: what is just inside passes, what is just outside is refused with the remedy."""

from __future__ import annotations

import pytest

from streamq.errors import ConfigError, PayloadTooLarge
from streamq.wire import limits


def test_names_of_tasks_and_queues() -> None:
    assert limits.check_task("shop.mail:send-1" + "x" * 112) == "shop.mail:send-1" + "x" * 112
    assert limits.check_queue("q" * 64) == "q" * 64
    for name in ("", "x" * 129, "a b", "@", "a\n", "ä", None, b"x"):
        with pytest.raises(ConfigError, match="cannot be the name of a task: use 1 to 128"):
            limits.check_task(name)
    for name in ("", "q" * 65, "a/b", "{a}", "a\n", 7):
        with pytest.raises(ConfigError, match="cannot be the name of a queue: use 1 to 64"):
            limits.check_queue(name)


def test_tags_are_bounded_and_kept_in_order() -> None:
    assert limits.check_tags(["b", "a", "b"]) == ("b", "a")
    assert len(limits.check_tags([f"t{i}" for i in range(32)])) == 32
    assert limits.check_tags(["é" * 128]) == ("é" * 128,)
    for tags, words in [
        ([f"t{i}" for i in range(33)], "33 tags are too many"),
        (["é" * 129], "at most 256 bytes"),
        (["a,b"], "cannot be a tag"),
        ([""], "cannot be a tag"),
        (["a\n"], "cannot be a tag"),
        ([3], "cannot be a tag"),
        (["\ud800"], r"'\\ud800' cannot be a tag"),
        ("abc", r"give a list, tags=\['abc'\]"),
        (None, r"tags=None is no list of texts: give one, or tags=\[\]"),
    ]:
        with pytest.raises(ConfigError, match=words):
            limits.check_tags(tags)


def test_payloads_are_bounded() -> None:
    limits.check_payload(10, 10, "the payload of send")
    with pytest.raises(PayloadTooLarge, match="the payload of send has 11 bytes"):
        limits.check_payload(11, 10, "the payload of send")


def test_long_texts_are_cut_at_whole_characters() -> None:
    assert limits.clip_error("é" * 4096) == "é" * 4096
    error, trace = limits.clip_error("é" * 4097), limits.clip_traceback("é" * 4097)
    assert len(error.encode()) <= 8192
    assert error.startswith("ééé")
    assert error.endswith("… (8,194 bytes)")
    assert len(trace.encode()) <= 8192
    assert trace.startswith("(8,194 bytes) …\né")
    assert limits.clip_error("\ud800") == "?"
