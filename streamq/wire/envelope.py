"""The outside of a payload: one header byte says what was done to the content, in this order: compressed, sealed.

=====  =======================================================================
0x01   made by streamq, version 1 of this format; always set
0x02   LZ4: four bytes of size (big-endian), then one LZ4 block
0x04   AES-256-GCM: see ``keys``; the header byte is authenticated too
=====  =======================================================================

A body that begins with ``{`` or ``[`` is plain JSON, written by hand or by another language. Opening goes: size check,
verification, decompression bounded by the recorded size, and only then is anything decoded.
"""

from __future__ import annotations

from typing import NamedTuple

from streamq.errors import BadPayload
from streamq.wire.keys import SEAL_OVERHEAD, KeyRing
from streamq.wire.limits import check_payload

__all__ = ["JSON_OPENERS", "PLAIN", "Envelope", "Place"]

PLAIN = 0x01
_LZ4 = 0x02
_SEALED = 0x04
_KNOWN = PLAIN | _LZ4 | _SEALED
JSON_OPENERS = b"{["
_SIZE_BYTES = 4


class Place(NamedTuple):
    """Where a payload belongs. A sealed one opens in the same place only; ``job`` is empty where no id is known yet."""

    namespace: str
    queue: str
    task: str
    purpose: str
    job: str = ""

    def associated(self, header: int) -> bytes:
        """The bytes that a seal authenticates along with the content; each part is ended by a zero byte."""
        return bytes((header,)) + b"".join(part.encode() + b"\0" for part in self)

    def __str__(self) -> str:
        return f"the {self.purpose} of {self.task}"


class Envelope:
    """Wraps contents in bodies and opens them again, under the settings of one App."""

    __slots__ = ("compress_above", "keyring", "payload_max")

    def __init__(self, keyring: KeyRing, compress_above: int, payload_max: int) -> None:
        self.keyring = keyring
        self.compress_above = compress_above
        self.payload_max = payload_max

    def wrap(self, content: bytes, place: Place) -> bytes:
        """The body for a content. Raises PayloadTooLarge."""
        check_payload(len(content), self.payload_max, place)
        header = PLAIN
        if len(content) > self.compress_above:
            smaller = _compressed(content)
            if len(smaller) < len(content):
                content, header = smaller, header | _LZ4
        if self.keyring.sealing_id is not None:
            header |= _SEALED
            content = self.keyring.seal(content, place.associated(header))
        return bytes((header,)) + content

    def open(self, body: bytes, place: Place) -> tuple[bytes, bool]:
        """The content of a body, and whether it is JSON. Raises BadPayload, KeyMissing, PayloadTooLarge."""
        check_payload(len(body), self.payload_max + 1 + SEAL_OVERHEAD, place)
        if not body:
            raise BadPayload(f"{place} is empty")
        header = body[0]
        is_json = header in JSON_OPENERS
        if not is_json and (header & ~_KNOWN or not header & PLAIN):
            raise BadPayload(
                f"{place} begins with the byte 0x{header:02x}, which this version does not know: it is not a payload "
                "of streamq, or a newer one wrote it (upgrade the workers first)"
            )
        if is_json or not header & _SEALED:
            self._check_plain_is_welcome(place)
        if is_json:
            return body, True
        content = (
            self.keyring.open(body[1:], place.associated(header), place) if header & _SEALED else body[1:]
        )
        return (_decompressed(content, self.payload_max, place) if header & _LZ4 else content), False

    def _check_plain_is_welcome(self, place: Place) -> None:
        if not self.keyring.accepts_plain:
            raise BadPayload(
                f"{place} is not sealed, and this worker accepts sealed ones only: give its producer STREAMQ_KEYS, "
                'or add "plain" to them here until all producers have keys'
            )


def _compressed(content: bytes) -> bytes:
    from lz4.block import compress  # type: ignore[import-untyped]  # has no stubs

    block: bytes = compress(content, store_size=False)
    return len(content).to_bytes(_SIZE_BYTES, "big") + block


def _decompressed(content: bytes, payload_max: int, place: Place) -> bytes:
    """The bytes before compression. The recorded size is checked before a byte of it is allocated."""
    size = int.from_bytes(content[:_SIZE_BYTES], "big")
    if len(content) <= _SIZE_BYTES or size == 0:
        raise BadPayload(f"{place} is compressed and truncated")
    check_payload(size, payload_max, place)
    from lz4.block import LZ4BlockError, decompress

    try:
        plain: bytes = decompress(content[_SIZE_BYTES:], uncompressed_size=size)
    except LZ4BlockError:
        raise BadPayload(f"{place} cannot be decompressed: it is damaged") from None
    if len(plain) != size:
        raise BadPayload(f"{place} has {len(plain):,} bytes where {size:,} are recorded: it is damaged")
    return plain
