"""A file that comes in portions, each when the test says so."""

import itertools
import socket
from threading import Semaphore

MB = 1_000_000
HEAD = b'HTTP/1.1 200 OK\r\nETag: "%d"\r\nContent-Length: %d\r\n\r\n'
PATIENCE = 60.0
"""Seconds after which a portion that nobody asked for is no longer waited for, and the connection breaks."""


class Portions:
    """An answer for `raw_server`: a file of so many portions of 1 MB, under a new revision each time."""

    def __init__(self, count: int) -> None:
        self._count, self._asked, self._revisions = count, Semaphore(0), itertools.count()

    def next(self, count: int = 1) -> None:
        """Let so many more come."""
        self._asked.release(count)

    def __call__(self, connection: socket.socket) -> None:
        """Send them, over one connection."""
        connection.sendall(HEAD % (next(self._revisions), self._count * MB))
        for _ in range(self._count):
            if not self._asked.acquire(timeout=PATIENCE):
                return
            connection.sendall(bytes(MB))
