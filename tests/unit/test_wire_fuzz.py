"""Bytes of any kind given to unpack: a value or one of three errors, and never much memory."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamq.errors import BadPayload, KeyMissing, PayloadTooLarge
from streamq.wire import KeyRing, Payloads, Unpacked

RING = KeyRing({"k1": bytes(range(32))}, plain=True)
PLAIN = Payloads("sq", payload_max=65_536)
KEYED = Payloads("sq", RING, compress_above=0, payload_max=65_536)
SAMPLES = [
    made.pack("q", "t", args, kwargs, options)
    for made in (PLAIN, KEYED, Payloads("sq", compress_above=0))
    for args, kwargs, options in [
        ((), {}, None),
        (("a@b.c", 1, None, 2.5), {"template": "x"}, {"timeout": 3}),
        (([[1, {"a": b"x" * 200}]] * 3,), {"k": "y" * 2000}, None),
    ]
]
FRONTS = [bytes((header,)) for header in range(8)] + [
    b"[",
    b"{",
    b"[[",
    b'{"args":[',
    b"\x05\x02k1",
    b"\x01\x91\x91",
]


def opened(payloads: Payloads, body: bytes) -> None:
    with contextlib.suppress(BadPayload, KeyMissing, PayloadTooLarge):
        assert isinstance(payloads.unpack("q", "t", body), Unpacked)
    with contextlib.suppress(BadPayload, KeyMissing, PayloadTooLarge):
        payloads.unpack_result("q", "t", body)


@settings(max_examples=600, deadline=None)
@given(front=st.sampled_from([b"", *FRONTS]), rest=st.binary(max_size=300))
@example(b"\x01", b"\xc7\x0c\xff" + b"\xff" * 12)
@example(b"\x01", b"\x91\x91\x81\x91\x91\x01\x01")
@example(b"[[", b"9" * 6000 + b"]]")
@example(b"[[", b"1e999]]")
@example(b"\x03", b"\x00\x00\x00\x01")
def test_any_bytes_give_a_value_or_a_typed_error(front: bytes, rest: bytes) -> None:
    opened(PLAIN, front + rest)
    opened(KEYED, front + rest)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_payloads_give_a_value_or_a_typed_error(sample: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, min(len(sample), start + 8)))
    body = sample[:start] + data.draw(st.binary(max_size=8)) + sample[end:]
    opened(PLAIN, body)
    opened(KEYED, body)


@pytest.mark.parametrize(
    "body",
    [
        b"\x01" + b"\xdd\xff\xff\xff\xff" * 13_000,
        b"\x01" + b"\xdd\x00\x0f\xff\xff" * 13_000,
        b"\x01" + b"\xdf\x00\x0f\xff\xff\x01" * 10_000,
        b"\x01\x91" + b"\xdc\xff\xf0" + b"\x90" * 0xFFF0,
        b"\x01\x91" + b"\xdc\x7f\xf0" + b"\x81\x01" * 0x7FF0,
        b"\x01\x91\xc6\xff\xff\xff\xff",
        b"\x03\xff\xff\xff\xff" + b"\xff" * 60_000,
        b"\x03\x00\x01\x00\x00" + b"\x1f\x00\x01\x00" + b"\xff" * 60_000,
        b"[" * 65_000,
        b"[[" + b"[]," * 20_000 + b"1]]",
    ],
)
def test_no_body_makes_much_memory_of_little(body: bytes) -> None:
    opened(PLAIN, b"")  # lz4 is imported
    opened(PLAIN, SAMPLES[-1])
    tracemalloc.start()
    try:
        opened(PLAIN, body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 * 65_536
