"""Connections that another thread can cut off while an answer is waited for."""

import contextlib
import socket
from collections.abc import Mapping
from threading import Lock
from weakref import WeakSet

import urllib3
from urllib3.connection import HTTPConnection

from providers.deadline import PacedHttpPool, PacedHttpsPool


class Lifeline:
    """Keeps hold of the sockets of the pools that it makes. Whoever waits at one is woken by `cut`, with an error."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._is_cut = False

    def cut(self) -> None:
        """Shut all of them down, and those to come."""
        with self._lock:
            self._is_cut = True
            for each in self._sockets:
                _shut_down(each)

    def pools(self) -> Mapping[str, type[urllib3.HTTPConnectionPool]]:
        """Pools of paced connections, by scheme."""
        return {"http": self._holding(PacedHttpPool), "https": self._holding(PacedHttpsPool)}

    def _holding(self, pool: type[urllib3.HTTPConnectionPool]) -> type[urllib3.HTTPConnectionPool]:
        hold = self._hold

        class Held(pool.ConnectionCls):  # type: ignore[misc, name-defined]  # a base that is known at run time
            def connect(self) -> None:
                super().connect()
                hold(self)

        class Pool(pool):  # type: ignore[misc, valid-type]
            ConnectionCls = Held

        return Pool

    def _hold(self, connection: HTTPConnection) -> None:
        opened: socket.socket | None = connection.sock
        if opened is None:
            return
        with self._lock:
            self._sockets.add(opened)
            if self._is_cut:
                _shut_down(opened)


def _shut_down(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not a TLS socket's own method: that one forgets the session, and who reads would take what follows for plain.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
