"""A bare connection to the run's server, of which a thousand can be held by one thread."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager
from typing import Any

import hiredis

from bench.ground import Run
from streamq.engines.connection import pack
from streamq.protocol import Argument, Call

__all__ = ["Wire"]


class Wire(AbstractContextManager["Wire"]):
    """Sends commands and reads replies, in order; an error reply is raised."""

    def __init__(self, run: Run) -> None:
        self._reader = hiredis.Reader()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(str(run.server.socket))

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def send(self, *command: Argument) -> None:
        """Send without waiting."""
        self._socket.sendall(pack(command))

    def call(self, call: Call[Any]) -> None:
        """Send one call of a function."""
        self.send("FCALL", f"sq1_{call.function}", 1, call.anchor, *call.args)

    def read(self) -> Any:
        """The next reply, or message of a channel."""
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65_536))
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def __exit__(self, *_: object) -> None:
        self._socket.close()
