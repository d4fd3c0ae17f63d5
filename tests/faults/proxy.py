"""A TCP proxy before a tracking server that delays, refuses, answers 5xx, loses answers and hangs, as it is told."""

from __future__ import annotations

import random
import socket
import threading
import time
from urllib.parse import urlsplit

MODES = ("open", "refuse", "hang", "slow", "error", "lose")
_ERROR = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Proxy:
    """Passes connections on to a server.

    Args:
        target: address of the server.
        seed: seed of what is drawn: ``error`` and ``lose`` meet some connections, not all.

    Attributes:
        mode: one of ``MODES``: ``refuse`` closes connections, ``hang`` never answers, ``slow`` waits a second before
            each answer, ``error`` answers 503 to two connections in five, ``lose`` passes on every request and closes
            one connection in three before its answer.
        uri: address of the proxy.
    """

    def __init__(self, target: str, seed: int) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._random, self.mode, self._ended = random.Random(seed), "open", False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no longer."""
        self._ended = True
        self._listening.close()

    def later(self, mode: str, seconds: float) -> None:
        """Change the mode after some seconds."""
        timer = threading.Timer(seconds, lambda: setattr(self, "mode", mode))
        timer.daemon = True
        timer.start()

    def _accept(self) -> None:
        while not self._ended:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            if self.mode == "refuse":
                return
            if self.mode == "error" and self._random.random() < 0.4:
                client.recv(65536)
                client.sendall(_ERROR)
                return
            while self.mode == "hang" and not self._ended:
                time.sleep(0.1)
            loses = self.mode == "lose" and self._random.random() < 1 / 3
            try:
                with socket.create_connection(self._target, timeout=30) as server:
                    to_server = threading.Thread(target=_copy, args=(client, server), daemon=True)
                    to_server.start()
                    self._answer(server, client, loses)
            except OSError:
                return

    def _answer(self, server: socket.socket, client: socket.socket, loses: bool) -> None:
        server.settimeout(120)
        while data := server.recv(65536):
            while self.mode == "hang" and not self._ended:
                time.sleep(0.1)
            if loses or self.mode == "refuse":
                return  # the server has done what was asked
            if self.mode == "slow":
                time.sleep(1)
            client.sendall(data)


def _copy(source: socket.socket, destination: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            destination.sendall(data)
    except OSError:
        return
