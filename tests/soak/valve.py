"""A TCP proxy on loopback, as fast as a server: it counts what goes to the client, slows it down, and cuts it off."""

import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

KiB = 1024
CHUNK = 256 * KiB
"""Bytes a read. Smaller ones cost the machine that is measured; more would pass a rate limit in bursts."""
QUEUE = 256 * KiB
"""Bytes that wait to be sent to a client, at the most. They count as moved, and a server's queue could be 4 MiB."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for a close that throws away what is still on its way."""


class Tap:
    """So many bytes a second (None: no limit), whoever lets them through."""

    def __init__(self, rate: int | None) -> None:
        self._rate, self._lock, self._free_at = rate, threading.Lock(), 0.0

    def let(self, count: int) -> None:
        """Wait until `count` bytes more are due."""
        if self._rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            wait = self._free_at - now
        time.sleep(wait)


class Valve:
    """What passes on to the server at `upstream`. Any thread may ask it and tell it.

    `rate` is in bytes a second for all connections together, `connection_rate` for each.
    """

    def __init__(self, upstream: str, *, rate: int | None = None, connection_rate: int | None = None) -> None:
        parts = urlsplit(upstream)
        self._upstream = (str(parts.hostname), int(parts.port or 80))
        self._tap, self._connection_rate = Tap(rate), connection_rate
        self._lock = threading.Lock()
        self._cuts: list[int] = []
        self._open = 0
        self.most_open = 0
        """Connections that were open at a time, at the most."""
        self.moved = 0
        """Bytes that were given to clients, heads of answers included."""
        self.cut = 0
        """Connections that were cut off."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_at(self, moments: Iterable[int]) -> None:
        """Cut the connection off that brings `moved` to each of these."""
        with self._lock:
            self._cuts = sorted(moments)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        # Closing the listener ends this.
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with suppress(OSError), self._counting(), closing(client), socket.create_connection(self._upstream) as server:
            threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
            self._answer(server, client)

    @contextmanager
    def _counting(self) -> Iterator[None]:
        with self._lock:
            self._open += 1
            self.most_open = max(self.most_open, self._open)
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(64 * KiB):
                server.sendall(data)
        # A client that is gone must not keep its server talking.
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        buffer, tap = memoryview(bytearray(CHUNK)), Tap(self._connection_rate)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE)
        while count := server.recv_into(buffer):
            tap.let(count)
            self._tap.let(count)
            passed, is_cut = self._counted(count)
            client.sendall(buffer[:passed])
            if is_cut:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                # Wakes the thread that reads it: until that lets go, a close would close nothing.
                client.shutdown(socket.SHUT_RD)
                return
        client.shutdown(socket.SHUT_WR)

    def _counted(self, count: int) -> tuple[int, bool]:
        """How many of the bytes may pass, and whether the connection ends with them."""
        with self._lock:
            is_cut = bool(self._cuts) and self.moved + count >= self._cuts[0]
            passed = max(0, self._cuts.pop(0) - self.moved) if is_cut else count
            self.moved += passed
            self.cut += is_cut
            return passed, is_cut


@contextmanager
def valve(upstream: str, *, rate: int | None = None, connection_rate: int | None = None) -> Iterator[Valve]:
    """A valve before the server at that address, until the context ends."""
    with closing(Valve(upstream, rate=rate, connection_rate=connection_rate)) as one:
        yield one
