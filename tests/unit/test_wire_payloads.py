"""Payloads: what is packed comes out again, in its own place only, and what is wrong is refused with the reason."""

from __future__ import annotations

import os
import socket
import struct
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamq.errors import BadPayload, KeyMissing, PayloadTooLarge, WrongCall
from streamq.wire import KeyRing, Payloads, Unpacked

RING = KeyRing({"k1": bytes(range(32))})
PLAIN = Payloads("sq")
SEALED = Payloads("sq", RING)
EAGER = Payloads("sq", RING, compress_above=0)  # tries LZ4 on everything

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30
)


def refused(body: bytes, payloads: Payloads = PLAIN) -> str:
    with pytest.raises(BadPayload) as caught:
        payloads.unpack("mail", "send", body)
    return str(caught.value)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("payloads", [PLAIN, SEALED, EAGER], ids=["plain", "sealed", "compressed"])
@settings(deadline=None)
@given(args=st.lists(values, max_size=4), kwargs=st.dictionaries(st.text(), values, max_size=4))
def test_what_is_packed_is_unpacked(payloads: Payloads, args: list[Any], kwargs: dict[str, Any]) -> None:
    body = payloads.pack("mail", "send", args, kwargs)
    assert payloads.unpack("mail", "send", body) == Unpacked(args, kwargs, {})


def test_a_plain_payload_is_a_byte_and_standard_msgpack_in_its_shortest_form() -> None:
    short = PLAIN.pack("mail", "send", ("a@b.c",), {})
    longer = PLAIN.pack("mail", "send", ("a@b.c",), {"n": 2}, {"timeout": 9.0})
    assert short[:1] == longer[:1] == b"\x01"
    assert msgpack.unpackb(short[1:]) == [["a@b.c"]]
    assert msgpack.unpackb(longer[1:]) == [["a@b.c"], {"n": 2}, {"timeout": 9.0}]


def test_what_the_msgpack_package_writes_is_read() -> None:
    moment = datetime(2026, 11, 24, tzinfo=UTC)
    content = msgpack.packb([[b"x", moment, {"a": [1.5, None]}], {"k": 2**63}], datetime=True)
    assert PLAIN.unpack("mail", "send", b"\x01" + content) == Unpacked(
        [b"x", moment, {"a": [1.5, None]}], {"k": 2**63}, {}
    )


@pytest.mark.parametrize(
    ("body", "call"),
    [
        (b'[["a@b.c"], {"template": "x"}]', Unpacked(["a@b.c"], {"template": "x"}, {})),
        (b"[[]]", Unpacked([], {}, {})),
        (b'[[1], {}, {"timeout": "5m"}]', Unpacked([1], {}, {"timeout": "5m"})),
        (b'{"args": [[1, 2]], "kwargs": {"b": null}}', Unpacked([[1, 2]], {"b": None}, {})),
        (b'{"kwargs": {"b": 1}}', Unpacked([], {"b": 1}, {})),
    ],
)
def test_json_written_by_hand_is_read(body: bytes, call: Unpacked) -> None:
    assert PLAIN.unpack("mail", "send", body) == call


@pytest.mark.parametrize(
    "body",
    [
        b'["a"]',
        b"[]",
        b'[["a"], ["b"]]',
        b"[[1], {}, {}, {}]",
        b'{"arguments": [1]}',
        b'{"a": 1}',
        b"[[1]",
        b"[[1]] x",
        b"[[\xff]]",
    ],
)
def test_json_that_is_not_a_call_is_refused_with_the_form(body: bytes) -> None:
    assert '[args, kwargs], as in [["a@b.c"], {"template": "welcome"}]' in refused(body)


def test_bytes_of_something_else_are_refused_with_the_reason() -> None:
    assert "is empty" in refused(b"")
    assert "0x80" in refused(b"\x80\x04pickle")
    assert "0x09" in refused(b"\x09\x91\x90")
    assert "truncated" in refused(b"\x01")
    assert "truncated" in refused(b"\x01\x91\x91")
    assert "trailing" in refused(b"\x01\x91\x90\x00")
    assert "not UTF-8" in refused(b"\x01\x91\x91\xa1\xff")
    assert "key" in refused(b"\x01\x92\x90\x81\x01\x02")


def test_large_payloads_are_compressed_when_that_helps_and_not_else() -> None:
    text, noise = "words and words " * 1000, os.urandom(16_000)
    small, large = PLAIN.pack("q", "t", (text,), {}), PLAIN.pack("q", "t", (noise,), {})
    assert len(small) < 1000
    assert small[0] == 0x03
    assert large[0] == 0x01
    assert PLAIN.unpack("q", "t", small).args == [text]
    assert PLAIN.unpack("q", "t", large).args == [noise]


def test_a_forged_size_is_refused_before_anything_is_allocated() -> None:
    body = bytearray(PLAIN.pack("q", "t", ("x" * 5000,), {}))
    for size in (0, 1, 4999, 5007, 1024 * 1024):
        assert refused(bytes(body[:1] + struct.pack(">I", size) + body[5:]))
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooLarge):
            PLAIN.unpack("q", "t", bytes(body[:1] + b"\x7f\xff\xff\xff" + body[5:]))
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_a_payload_above_the_limit_is_refused_on_both_sides() -> None:
    tight = Payloads("sq", payload_max=10_000)
    with pytest.raises(
        PayloadTooLarge, match=r"the payload of send has 20,\d\d\d bytes, and 10,000 are allowed"
    ):
        tight.pack("mail", "send", ("x" * 20_000,), {})
    with pytest.raises(PayloadTooLarge):
        tight.unpack("mail", "send", b"\x01" + b"\xc0" * 20_000)
    with pytest.raises(PayloadTooLarge):
        tight.unpack("mail", "send", PLAIN.pack("mail", "send", ("x" * 20_000,), {}))


@pytest.mark.parametrize("payloads", [PLAIN, SEALED], ids=["plain", "sealed"])
def test_a_payload_of_exactly_the_limit_passes(payloads: Payloads) -> None:
    noise = os.urandom(1024 * 1024 - 7)
    body = payloads.pack("q", "t", (noise,), {})
    assert payloads.unpack("q", "t", body).args == [noise]
    with pytest.raises(PayloadTooLarge):
        payloads.pack("q", "t", (noise + b"1",), {})


def test_nesting_is_bounded_on_both_sides() -> None:
    body = PLAIN.pack("q", "t", (nested(30),), {})  # the payload and its arguments are two more
    assert PLAIN.unpack("q", "t", body).args == [nested(30)]
    with pytest.raises(WrongCall, match="deeper than 32"):
        PLAIN.pack("q", "t", (nested(31),), {})
    with pytest.raises(WrongCall, match="deeper than 32"):
        PLAIN.pack_result("q", "t", nested(33))
    assert "deeper than 32" in refused(b"\x01\x91\x91" + b"\x91" * 31 + b"\x01")
    assert "deeper than 32" in refused(b"\x01\x91\x91" + b"\x81\xa0" * 31 + b"\x01")
    assert "deeper than 32" in refused(b"\x01\x91\x91" + b"\x91" * 100_000 + b"\x01")
    assert "deeper than 32" in refused(b"[[" + b"[" * 31 + b"]" * 31 + b"]]")
    assert "deeper than 32" in refused(b'{"args": [' + b"[" * 100_000)


def test_many_containers_side_by_side_are_not_deep() -> None:
    rows = [{"id": i, "tags": []} for i in range(1000)]
    assert PLAIN.unpack("q", "t", PLAIN.pack("q", "t", (rows,), {})).args == [rows]
    assert PLAIN.unpack("q", "t", b"[[" + b"[]," * 100 + b"1]]").args == [[]] * 100 + [1]


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        (("a", socket.socket), {}, "argument 'conn' of type type cannot be sent; pass an id"),
        (("a",), {"conn": object()}, "argument 'conn' of type object cannot be sent"),
        (([1, {"x": object()}],), {}, "argument 'to' holds a value of type object, which cannot be sent"),
        (("a", "b", object()), {}, "argument number 3 of type object"),
        ((2**64,), {}, "argument 'to' holds a number of more than 64 bits"),
        (("\ud800",), {}, "argument 'to' holds text that is not valid Unicode"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_named(args: Any, kwargs: Any, words: str) -> None:
    with pytest.raises(WrongCall) as caught:
        PLAIN.pack("mail", "send_email", args, kwargs, names=("to", "conn"))
    assert str(caught.value).startswith(f"send_email: {words}")


def test_an_argument_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(WrongCall, match="argument 'to' contains itself"):
        PLAIN.pack("mail", "send_email", (loop,), {}, names=("to",))


def test_a_result_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(WrongCall, match="send: its result of type object cannot be sent"):
        PLAIN.pack_result("mail", "send", object())


@settings(deadline=None)
@given(value=values)
def test_a_result_comes_back(value: Any) -> None:
    for payloads in (PLAIN, EAGER):
        assert (
            payloads.unpack_result("q", "t", payloads.pack_result("q", "t", value, "j1"), job="j1") == value
        )


def test_a_result_comes_back_as_its_type() -> None:
    moment = datetime(2026, 1, 1)
    body = PLAIN.pack_result("q", "t", moment)
    assert PLAIN.unpack_result("q", "t", body) == "2026-01-01T00:00:00"
    assert PLAIN.unpack_result("q", "t", body, datetime) == moment
    with pytest.raises(BadPayload, match="the result of t does not fit int"):
        PLAIN.unpack_result("q", "t", body, int)


def test_a_sealed_payload_opens_in_its_own_place_only() -> None:
    body = SEALED.pack("mail", "send", (1,), {})
    assert b"send" not in body
    others = [
        ("sq", "mails", "send"),
        ("sq", "mail", "sends"),
        ("prod", "mail", "send"),
        ("sq", "mailsend", ""),
    ]
    for namespace, queue, task in others:
        with pytest.raises(BadPayload, match="not authentic"):
            Payloads(namespace, RING).unpack(queue, task, body)
    with pytest.raises(BadPayload, match="not authentic"):
        SEALED.unpack_result("mail", "send", body)


def test_a_sealed_result_belongs_to_its_job() -> None:
    body = SEALED.pack_result("mail", "send", 1, "5-1-0")
    assert SEALED.unpack_result("mail", "send", body, job="5-1-0") == 1
    with pytest.raises(BadPayload, match="not authentic"):
        SEALED.unpack_result("mail", "send", body, job="5-2-0")


def test_any_change_of_a_sealed_payload_is_noticed() -> None:
    body = EAGER.pack("mail", "send", ("x" * 100,), {})
    assert body[0] == 0x07
    with pytest.raises(BadPayload, match="not authentic"):
        SEALED.unpack("mail", "send", b"\x05" + body[1:])
    for place in range(1, len(body)):
        changed = bytearray(body)
        changed[place] ^= 1
        with pytest.raises((BadPayload, KeyMissing)):
            SEALED.unpack("mail", "send", bytes(changed))
        with pytest.raises((BadPayload, KeyMissing)):
            SEALED.unpack("mail", "send", body[:place])


def test_who_has_keys_refuses_what_is_not_sealed() -> None:
    for body in (PLAIN.pack("mail", "send", (1,), {}), b"[[1]]", PLAIN.pack("q", "t", ("x" * 5000,), {})):
        assert "is not sealed" in refused(body, SEALED)
    with pytest.raises(BadPayload, match="is not sealed"):
        SEALED.unpack_result("q", "t", PLAIN.pack_result("q", "t", 1))


def test_encryption_can_be_switched_on_while_jobs_run() -> None:
    key = bytes(32)
    plain, before = Payloads("sq"), Payloads("sq", KeyRing({"k": key}, plain=True, seals=False))
    during, after = Payloads("sq", KeyRing({"k": key}, plain=True)), Payloads("sq", KeyRing({"k": key}))
    for producer, worker in [
        (plain, before),
        (before, plain),
        (before, during),
        (during, before),
        (during, after),
    ]:
        assert worker.unpack("q", "t", producer.pack("q", "t", (1,), {})).args == [1]
    with pytest.raises(KeyMissing, match="key 'k', which is not in the key ring"):
        plain.unpack("q", "t", after.pack("q", "t", (1,), {}))


def test_an_error_stays_readable_and_bounded() -> None:
    packed = PLAIN.pack_error("q", "t", "ValueError", "no such order: 7")
    assert packed == "ValueError: no such order: 7"
    assert PLAIN.unpack_error("q", "t", packed) == ("ValueError", "no such order: 7")
    assert PLAIN.unpack_error("q", "t", "lost") == ("", "lost")
    assert PLAIN.unpack_error("q", "t", "E: sealed: no") == ("E", "sealed: no")
    assert len(PLAIN.pack_error("q", "t", "X" * 9000, "é" * 90_000).encode()) < 8500
    trace = PLAIN.pack_traceback("q", "t", "line\n" * 90_000 + "the last line")
    assert len(trace) <= 8192
    assert trace.endswith("the last line")


def test_a_sealed_error_shows_its_type_only() -> None:
    packed = SEALED.pack_error("q", "t", "ValueError", "card 4711", "5-1-0")
    assert packed.startswith("ValueError: sealed:")
    assert SEALED.unpack_error("q", "t", packed, "5-1-0") == ("ValueError", "card 4711")
    assert SEALED.unpack_traceback("q", "t", SEALED.pack_traceback("q", "t", "File …")) == "File …"
    assert "not authentic" in SEALED.unpack_error("q", "other", packed, "5-1-0")[1]
    assert "not in the key ring" in PLAIN.unpack_error("q", "t", packed, "5-1-0")[1]
    assert len(SEALED.pack_error("q", "t", "E", os.urandom(20_000).hex())) < 16_384
