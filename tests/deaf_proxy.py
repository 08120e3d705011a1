"""A proxy of a server that can lose replies: what was asked is executed, and then the connection breaks."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from pathlib import Path
from typing import Self


class DeafProxy:
    """Stands on a unix socket of its own in front of ``target``; a context manager.

    ``lose(word, count)``: the next ``count`` requests that contain ``word`` are executed, and their connections are cut
    before the reply arrives. ``lost`` counts them. ``go_deaf()``: so do those that wait for a reply already.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._folder = tempfile.TemporaryDirectory(prefix="sq-")
        self.socket = Path(self._folder.name) / "p"
        self.url = f"unix://{self.socket}"
        self.lost = 0
        self._word, self._left = b"", 0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._deaf: list[threading.Event] = []
        self._listener = socket.socket(socket.AF_UNIX)

    def lose(self, word: bytes, count: int = 1) -> None:
        """Lose the replies of the next requests that contain ``word``."""
        with self._lock:
            self._word, self._left = word, count

    def go_deaf(self) -> None:
        """Lose the next reply of every connection that is open now; new ones work."""
        with self._lock:
            for deaf in self._deaf:
                deaf.set()
            self._deaf.clear()

    def _cut_all(self) -> None:
        with self._lock:
            broken, self._open = self._open, []
        for one in broken:
            _cut(one)

    def __enter__(self) -> Self:
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut_all()
        self._thread.join(5)
        self._folder.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            with self._lock:
                self._open += client, server
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """Requests to the server; a thread of its own carries the replies, as long as none is to be lost."""
        deaf = threading.Event()
        with self._lock:
            self._deaf.append(deaf)
        threading.Thread(target=self._answer, args=(client, server, deaf), daemon=True).start()
        with contextlib.suppress(OSError):
            while request := client.recv(2**16):
                if self._is_to_be_lost(request):
                    deaf.set()
                server.sendall(request)
        _cut(server)

    def _answer(self, client: socket.socket, server: socket.socket, deaf: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while reply := server.recv(2**16):
                if deaf.is_set():
                    break
                client.sendall(reply)
        _cut(client)
        _cut(server)

    def _is_to_be_lost(self, request: bytes) -> bool:
        with self._lock:
            if not self._left or self._word not in request:
                return False
            self._left -= 1
            self.lost += 1
            return True


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
