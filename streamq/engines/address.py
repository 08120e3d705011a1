"""Where a server is and how to log in: the parts of a URL, checked, and the first commands of a connection.

Accepted: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` (the same over TLS; ``?ca=FILE``, ``cert=FILE``,
``key=FILE`` name PEM files) and ``unix://[user:password@]/path[?db=n]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from ssl import SSLContext, create_default_context
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from streamq.config import redacted
from streamq.errors import ConfigError

__all__ = ["SCHEMES", "Address", "Tls", "bad_url", "hosts", "scheme", "tls_context"]

SCHEMES = ("redis", "rediss", "unix", "sentinel", "cluster", "embedded", "memory")
PORT = 6379


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of a TLS connection; empty ones mean the system's authorities and no certificate of our own."""

    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """One server: a host and port, or the path of a unix socket, and who we are there."""

    host: str = "127.0.0.1"
    port: int = PORT
    path: str = ""
    username: str = ""
    password: str = ""
    db: int = 0
    tls: Tls | None = None

    @classmethod
    def parse(cls, url: str) -> Address:
        """The address in a ``redis://``, ``rediss://`` or ``unix://`` URL; ConfigError when it is none."""
        parts = _split(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if parts.scheme == "unix":
            if not parts.path.strip("/"):
                raise bad_url(url, "it names no socket; write unix:///run/redis/redis.sock")
            path, db = unquote(parts.path), _number(url, options.pop("db", "0"))
            return cls(path=path, username=user, password=password, db=db)
        tls = Tls(**_tls_files(url, options)) if parts.scheme == "rediss" else None
        db = _number(url, parts.path.strip("/") or options.pop("db", "0"))
        return cls(parts.hostname or "127.0.0.1", _port(url, parts), "", user, password, db, tls)

    def __str__(self) -> str:
        """The URL for people, without the password."""
        if self.path:
            return f"unix://{self.path}"
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}" + (
            f"/{self.db}" if self.db else ""
        )

    def greeting(self) -> list[tuple[str | int, ...]]:
        """The commands that begin a connection: RESP3, the log-in, our name in CLIENT LIST, the database."""
        login = ("AUTH", self.username or "default", self.password) if self.password else ()
        hello: tuple[str | int, ...] = ("HELLO", 3, *login, "SETNAME", "streamq")
        return [hello, ("SELECT", self.db)] if self.db else [hello]


@cache
def tls_context(files: Tls) -> SSLContext:
    """What a socket needs, made once; the server's name is checked against its certificate."""
    try:
        context = create_default_context(cafile=files.ca or None)
        if files.cert:
            context.load_cert_chain(files.cert, files.key or None)
    except OSError as error:
        raise ConfigError(
            f"the TLS files ca={files.ca!r} cert={files.cert!r} cannot be used: {error}"
        ) from None
    return context


def scheme(url: str) -> str:
    """The scheme of a URL, or ConfigError with those that are known."""
    found = url.partition("://")[0] if "://" in url else ""
    if found not in SCHEMES:
        raise bad_url(url, f"its scheme is {found!r}; known are {', '.join(f'{one}://' for one in SCHEMES)}")
    return found


def hosts(url: str, port: int) -> list[tuple[str, int]]:
    """The ``host:port,host:port`` of a sentinel or cluster URL; ``port`` is for those that name none."""
    names = urlsplit(url).netloc.rpartition("@")[2].split(",")
    found = []
    for name in names:
        host, _, given = name.rpartition(":") if not name.endswith("]") and ":" in name else (name, "", "")
        found.append((host.strip("[]"), _number(url, given) if given else port))
    if not all(host for host, _ in found):
        raise bad_url(url, "it names no host")
    return found


def bad_url(url: str, why: str) -> ConfigError:
    """The error of a URL that cannot be used."""
    return ConfigError(
        f"the URL {redacted(url)!r} cannot be used: {why}. Set STREAMQ_URL, for example redis://127.0.0.1:6379"
    )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise bad_url(url, str(error)) from None


def _port(url: str, parts: SplitResult) -> int:
    try:
        return parts.port or PORT
    except ValueError as error:
        raise bad_url(url, str(error)) from None


def _number(url: str, text: str) -> int:
    if not text.isdigit():
        raise bad_url(url, f"{text!r} is not a number")
    return int(text)


def _tls_files(url: str, options: dict[str, str]) -> dict[str, str]:
    unknown = options.keys() - {"ca", "cert", "key", "db"}
    if unknown:
        raise bad_url(url, f"unknown options {', '.join(sorted(unknown))}; TLS has ca, cert and key")
    return {name: text for name, text in options.items() if name != "db"}
