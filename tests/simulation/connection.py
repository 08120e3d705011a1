"""A pipeline to the server, as thin as possible: a simulation makes a hundred thousand calls."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import hiredis


class Connection:
    """One connection over a unix socket. An error reply inside a pipeline is returned as ``hiredis.ReplyError``."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(60)
        self._socket.connect(str(path))
        self._reader = hiredis.Reader()

    def pipeline(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send all, then read all replies."""
        if not commands:
            return []
        self._socket.sendall(b"".join([hiredis.pack_command(command) for command in commands]))
        return [self._read() for _ in commands]

    def __call__(self, *command: Any) -> Any:
        """One command; an error reply is raised."""
        reply = self.pipeline([command])[0]
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _read(self) -> Any:
        while (reply := self._reader.gets()) is False:
            received = self._socket.recv(1 << 20)
            if not received:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(received)
        return reply
