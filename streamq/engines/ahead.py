"""Calls that are sent before the last one was answered, so that packing the next and running the last are one time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from streamq.engines.connection import Connection
from streamq.engines.failures import NotLoaded, refusal
from streamq.errors import ServerUnavailable, StreamqError
from streamq.library import Command
from streamq.protocol import Call

__all__ = ["Ahead"]


class Ahead:
    """Repeatable calls under way on one connection. What cannot be carried so is run again by ``run``, one by one."""

    def __init__(
        self,
        connection: Connection | None,
        command: Callable[[Call[Any]], Command],
        run: Callable[[Call[Any]], Any],
    ) -> None:
        self.under_way: deque[Call[Any]] = deque()
        self._connection, self._command, self._run = connection, command, run

    def send(self, call: Call[Any]) -> None:
        """Send it behind those that are under way."""
        self.under_way.append(call)
        if self._connection is not None:
            try:
                self._connection.send(self._command(call))
            except ServerUnavailable:
                self._connection = None

    def read(self) -> Any:
        """The answer of the oldest one, or its error."""
        call = self.under_way[
            0
        ]  # until its reply is here: an interruption must find that one is still to come
        try:
            reply = self._reply()
        except StreamqError as refused:
            self.under_way.popleft()
            return refused
        self.under_way.popleft()
        try:
            return self._run(call) if reply is None else call.read(reply)
        except StreamqError as error:
            return error

    def end(self) -> Connection | None:
        """The connection, if nothing more is to come on it; else it is closed."""
        if self._connection is not None and self.under_way:
            self._connection.close()
            return None
        return self._connection

    def _reply(self) -> Any:
        """The next reply, or None when the call has to be run again. Raises the error of one that was refused."""
        connection = self._connection
        if connection is None:
            return None
        try:
            reply = connection.read()
            if isinstance(reply, hiredis.ReplyError):
                raise refusal(str(reply), connection.address)
        except (ServerUnavailable, NotLoaded):
            self._connection = None
            connection.close()
            return None
        return reply
