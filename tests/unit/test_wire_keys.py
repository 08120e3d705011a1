"""The key ring: the newest key seals, every key opens, and no key is ever shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from streamq.errors import BadPayload, ConfigError, KeyMissing
from streamq.wire import KeyRing

OLD, NEW = (base64.b64encode(bytes(range(start, start + 32))).decode() for start in (50, 100))


def test_the_newest_key_seals_and_any_key_opens() -> None:
    before, after = KeyRing.parse(f"old:{OLD}"), KeyRing.parse(f"new:{NEW}, old:{OLD}")
    assert after.ids == ["new", "old"]
    assert after.open(before.seal(b"secret", b"here"), b"here") == b"secret"
    assert KeyRing.parse(f"new:{NEW}").open(after.seal(b"secret", b"here"), b"here") == b"secret"
    with pytest.raises(KeyMissing, match=r"'new', which is not in the key ring \(old\)"):
        before.open(after.seal(b"secret", b"here"), b"here")


def test_the_same_content_is_never_sealed_alike() -> None:
    ring = KeyRing.parse(f"k:{NEW}")
    assert len({ring.seal(b"secret", b"") for _ in range(100)}) == 100


def test_another_key_under_the_same_id_does_not_open() -> None:
    sealed = KeyRing.parse(f"k:{NEW}").seal(b"secret", b"")
    with pytest.raises(BadPayload, match="not authentic"):
        KeyRing.parse(f"k:{OLD}").open(sealed, b"")


def test_the_key_id_is_authenticated() -> None:
    sealed = KeyRing.parse(f"a:{NEW}").seal(b"secret", b"")
    with pytest.raises(BadPayload, match="not authentic"):
        KeyRing.parse(f"b:{NEW}").open(sealed.replace(b"\x01a", b"\x01b", 1), b"")


def test_keys_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"new:{NEW}\nold:{OLD}\nplain\n")
    ring = KeyRing.parse(f"file:{path}")
    assert ring.ids == ["new", "old"]
    assert ring.accepts_plain


def test_the_word_plain_says_what_is_accepted_and_whether_to_seal() -> None:
    rings = [KeyRing.parse(text) for text in ("", f"plain,k:{NEW}", f"k:{NEW},plain", f"k:{NEW}")]
    assert [ring.accepts_plain for ring in rings] == [True, True, True, False]
    assert [ring.sealing_id for ring in rings] == [None, None, "k", "k"]


@pytest.mark.parametrize(
    "text",
    [
        OLD,
        f"k={OLD}",
        f"k:{OLD[:-4]}",
        f"k:{OLD}{OLD}",
        f"k:{OLD[:-1]}*",
        f"k:{OLD},k:{NEW}",
        f"a b:{OLD}",
        f"{'k' * 33}:{OLD}",
        f"file:{OLD}",
        f"file:{OLD},k:{NEW}",
        f"plain:{OLD}",
    ],
)
def test_keys_that_cannot_be_used_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyRing.parse(text)
    assert not any(key[:8] in str(caught.value) for key in (OLD, NEW))


def test_a_ring_shows_ids_only() -> None:
    ring = KeyRing.parse(f"new:{NEW},old:{OLD}")
    ring.seal(b"", b"")
    assert repr(ring) == str(ring) == "KeyRing(new:***, old:***)"


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01k", b"\xff" * 20, b"\x01k" + b"\0" * 27])
def test_a_truncated_seal_is_refused(sealed: bytes) -> None:
    with pytest.raises(BadPayload, match="truncated"):
        KeyRing.parse(f"k:{NEW}").open(sealed, b"")
