"""The key ring: AES-256-GCM with keys that can be rotated.

A ring is written ``id:base64,id:base64``, newest first, or ``file:/path`` of a file that holds the same (one key a line,
if you like). The first entry seals, every entry opens. The word ``plain`` is an entry as well, and stands for payloads
that are not sealed: a ring without it refuses them, because whoever may write to the server could forge them. So
encryption is switched on in three steps, none of which stops a running system::

    plain,k1:…    all workers can open k1, nobody seals yet
    k1:…,plain    everybody seals; what was enqueued before still runs
    k1:…          only sealed payloads are accepted

Keys are rotated likewise: ``k1,k2`` everywhere, then ``k2,k1``, then ``k2``. Nonces are 96 random bits: replace a key
before it has sealed 2**32 payloads. No error and no repr shows key material.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamq.errors import BadPayload, ConfigError, KeyMissing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["SEAL_OVERHEAD", "KeyRing"]

PLAIN: Final = "plain"
_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
SEAL_OVERHEAD = 1 + 32 + _NONCE_BYTES + _TAG_BYTES  # bytes that a seal adds at most
_FORM = 'it is "id:base64" with 32 random bytes in base64: make one with "openssl rand -base64 32"'


class KeyRing:
    """Keys by id, newest first. An empty ring neither seals nor opens, and accepts plain payloads."""

    __slots__ = ("_ciphers", "_keys", "accepts_plain", "sealing_id")

    def __init__(
        self, keys: Mapping[str, bytes] | None = None, *, plain: bool = False, seals: bool = True
    ) -> None:
        """``keys``: id → 32 bytes, newest first; ``plain``: open what is not sealed; ``seals``: seal with the first."""
        self._keys = dict(keys or {})
        self._ciphers: dict[str, AESGCM] = {}
        for name, key in self._keys.items():
            _check_key(name, key)
        self.sealing_id: str | None = next(iter(self._keys), None) if seals else None
        self.accepts_plain: bool = plain or not self._keys

    @classmethod
    def parse(cls, text: str | None) -> KeyRing:
        """The ring that a text of STREAMQ_KEYS describes. Raises ConfigError, and never with a key in it."""
        entries = [entry for entry in re.split(r"[,\s]+", _written(text or "")) if entry]
        named = [entry for entry in entries if entry != PLAIN]
        return cls(dict(_parsed(named)), plain=PLAIN in entries, seals=entries[:1] != [PLAIN])

    @property
    def ids(self) -> list[str]:
        """The ids of the keys, newest first."""
        return list(self._keys)

    def seal(self, content: bytes, associated: bytes) -> bytes:
        """``content`` under the newest key: length of the key id, key id, nonce, ciphertext with tag.

        ``associated`` must be given again to open it.
        """
        if self.sealing_id is None:
            raise KeyMissing("the key ring has no key to seal with: set STREAMQ_KEYS")
        name = self.sealing_id.encode()
        front = bytes((len(name),)) + name
        nonce = os.urandom(_NONCE_BYTES)
        return front + nonce + self._cipher(self.sealing_id, "").encrypt(nonce, content, associated + front)

    def open(self, sealed: bytes, associated: bytes, what: object = "a sealed payload") -> bytes:
        """What ``seal`` was given. Raises, about ``what``, KeyMissing for an unknown key and BadPayload for damage."""
        start = 1 + sealed[0] if sealed else 0
        front, nonce = sealed[:start], sealed[start : start + _NONCE_BYTES]
        if len(sealed) < start + _NONCE_BYTES + _TAG_BYTES:
            raise BadPayload(f"{what} is sealed and truncated")
        cipher = self._cipher(front[1:].decode("ascii", "replace"), what)
        from cryptography.exceptions import InvalidTag

        try:
            return cipher.decrypt(nonce, sealed[start + _NONCE_BYTES :], associated + front)
        except InvalidTag:
            raise BadPayload(
                f"{what} is not authentic: it was changed, was sealed for another task or queue, "
                "or its key has another value here"
            ) from None

    def _cipher(self, name: str, what: object) -> AESGCM:
        cipher = self._ciphers.get(name)
        if cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            if name not in self._keys:
                raise KeyMissing(
                    f"{what} is sealed with the key {name[:32]!r}, which is not in the key ring "
                    f"({', '.join(self._keys) or 'empty'}): add it to STREAMQ_KEYS"
                )
            cipher = self._ciphers[name] = AESGCM(self._keys[name])
        return cipher

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(f'{name}:***' for name in self._keys)})"


def _written(text: str) -> str:
    """The text itself, or that of the file which it names. The error does not show it: it could be a key after all."""
    if not text.startswith("file:"):
        return text
    path = Path(text.removeprefix("file:")).expanduser()
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not plain text"
        raise ConfigError(f"the file that STREAMQ_KEYS names cannot be read: {reason}") from None


def _parsed(entries: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    for place, entry in enumerate(entries, 1):
        name, colon, encoded = entry.partition(":")
        if not colon or not _ID.fullmatch(name):
            raise ConfigError(f"entry {place} of the keys cannot be read; {_FORM}")
        if name in seen:
            raise ConfigError(f"the key id {name!r} stands twice in the keys: give each key an id of its own")
        seen.add(name)
        yield name, _decoded(name, encoded)


def _decoded(name: str, encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded.translate(str.maketrans("-_", "+/")), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"the key {name!r} is not base64; {_FORM}") from None


def _check_key(name: str, key: bytes) -> None:
    if not _ID.fullmatch(name) or name == PLAIN:
        raise ConfigError("a key id is 1 to 32 letters, digits and _ . -, and not 'plain'")
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"the key {name!r} has {len(key)} bytes, and AES-256 needs {_KEY_BYTES}; {_FORM}")
