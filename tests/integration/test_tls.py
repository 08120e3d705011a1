"""``rediss://``: the server's certificate is checked, and a client's own can be shown."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from drivers import Awaited, Blocking
from servers import Server, binary, free_port
from streamq.config import Config
from streamq.engines.factory import open_engine
from streamq.errors import ConfigError, ServerUnavailable
from streamq.queue import Queue

MAIL = Queue("mail")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "streamq test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    found = {"cert": folder / "cert.pem", "key": folder / "key.pem"}
    found["cert"].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    found["key"].write_bytes(key.private_bytes(*pem, plain))
    return found


@pytest.fixture(scope="module")
def port(files: dict[str, Path]) -> Iterator[int]:
    """A server that only speaks TLS there, and wants a certificate of the client."""
    if binary("redis") is None and not os.environ.get("CI"):
        pytest.skip("redis-server is not installed")
    number = free_port()
    certificate = ("--tls-cert-file", str(files["cert"]), "--tls-key-file", str(files["key"]))
    options = ("--tls-port", str(number), *certificate, "--tls-ca-cert-file", str(files["cert"]))
    with Server("redis", extra=options):
        yield number


@pytest.mark.parametrize("shell", [Blocking, Awaited])
def test_calls_go_over_tls(port: int, files: dict[str, Path], shell: type[Blocking | Awaited]) -> None:
    cert, key = files["cert"], files["key"]
    driver = shell(Config(url=f"rediss://127.0.0.1:{port}/3?ca={cert}&cert={cert}&key={key}"))
    assert driver.run(MAIL.stats())["enqueued"] == "0"
    assert b" db=3 " in driver.command("CLIENT", "INFO")
    driver.close()


@pytest.mark.parametrize("shell", [Blocking, Awaited])
@pytest.mark.parametrize("query", ["", "?ca={cert}"])
def test_an_unknown_certificate_on_either_side_is_refused(
    port: int, files: dict[str, Path], shell: type[Blocking | Awaited], query: str
) -> None:
    driver = shell(Config(url=f"rediss://127.0.0.1:{port}{query.format(**files)}"))
    with pytest.raises(ServerUnavailable):
        driver.run(MAIL.stats())
    driver.close()


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match="ca='/nowhere.pem'"):
        open_engine(Config(url="rediss://127.0.0.1:1?ca=/nowhere.pem")).run(MAIL.stats())
