"""A way to a server on which the requests are counted."""

import contextlib
import socket
import socketserver
from collections.abc import Iterator
from threading import Lock, Thread
from urllib.parse import urlsplit

REQUEST_LINE_END = b" HTTP/1.1\r\n"


class Counted:
    """The way's address, and how many requests have taken it."""

    def __init__(self, server: socketserver.TCPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.requests = 0
        self._lock = Lock()

    def count(self, sent: bytes) -> None:
        """Note what a client sent. Its requests have no body, and each comes in one piece: they are short."""
        with self._lock:
            self.requests += sent.count(REQUEST_LINE_END)


@contextlib.contextmanager
def counted(url: str) -> Iterator[Counted]:
    """A port that leads to `url` until the context ends. Bytes pass unchanged, so that signatures stay valid."""
    address = urlsplit(url)

    class Passage(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((address.hostname or "", address.port or 80)) as server:
                Thread(target=_pass, args=(server, self.request), daemon=True).start()
                while sent := self.request.recv(65536):
                    way.count(sent)
                    server.sendall(sent)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Passage) as listener:
        listener.daemon_threads = True
        way = Counted(listener)
        Thread(target=listener.serve_forever, daemon=True).start()
        yield way
        listener.shutdown()


def _pass(source: socket.socket, destination: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := source.recv(65536):
            destination.sendall(received)
        destination.shutdown(socket.SHUT_WR)
