"""Liveness and readiness over HTTP, for orchestrators: ``/live`` and ``/ready`` on the port of ``STREAMQ_HEALTH_PORT``.

It is served by the supervisor between its other duties, without a thread: one short answer for each connection.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable

from streamq.errors import ConfigError

__all__ = ["Health"]

_ANSWER = "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
_PATIENCE = 0.5  # seconds that a client may take to ask


class Health:
    """``ready`` says whether jobs are being worked on, and why not. Listens on ``host``.

    Raises ConfigError when it cannot.
    """

    def __init__(self, host: str, port: int, ready: Callable[[], tuple[bool, str]]) -> None:
        self._ready = ready
        try:
            self._socket = socket.create_server((host, port))
        except OSError as error:
            raise ConfigError(
                f"health probes cannot be served on {host}:{port} (health_host, health_port): {error}"
            ) from None
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]

    def register(self, selector: selectors.BaseSelector) -> None:
        """Be called when somebody asks."""
        selector.register(self._socket, selectors.EVENT_READ, self.answer)

    def answer(self) -> None:
        """Answer one client."""
        with contextlib.suppress(OSError):
            connection, _ = self._socket.accept()
            with connection:
                connection.settimeout(_PATIENCE)
                connection.sendall(self._reply(connection.recv(1024)))

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def _reply(self, request: bytes) -> bytes:
        path = request.split(b" ", 2)[1:2]
        match path:
            case [b"/live"]:
                status, text = "200 OK", "live\n"
            case [b"/ready"]:
                ready, why = self._ready()
                status, text = ("200 OK" if ready else "503 Service Unavailable"), why + "\n"
            case _:
                status, text = "404 Not Found", "there are /live and /ready\n"
        return _ANSWER.format(status=status, length=len(text), text=text).encode()
