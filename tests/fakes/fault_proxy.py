"""A proxy between a client and a real server on loopback, which goes wrong in the way and at the time a test chooses.

A fault is called with the client's connection, once a whole request has arrived, and with what would get the server's
answer. Whatever answers a connection of `raw_server` is one as well, by `instead`.
"""

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from refresher.demo.process import free_port

Upstream = Callable[[], bytes]
"""Asks the server, and gives its whole answer, head and body."""
Fault = Callable[[socket.socket, Upstream], None]
END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived, faulty times included; `at` is `time.monotonic()`."""

    at: float
    method: str
    path: str


def instead(answer: Callable[[socket.socket], None]) -> Fault:
    """The server is not asked."""
    return lambda connection, _: answer(connection)


def sends(content: bytes) -> Fault:
    """These bytes, and the end of the connection. None at all: it is closed before the headers."""
    return instead(lambda connection: connection.sendall(content))


def replies(status: int, body: bytes = b"", **headers: str) -> Fault:
    """A well-formed answer; an underscore in a header's name is its hyphen."""
    named = {"Content-Length": str(len(body)), "Connection": "close"} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return sends(f"HTTP/1.1 {status} So\r\n{head}\r\n".encode() + body)


def refuses(status: int, why: str, **headers: str) -> Fault:
    """An answer as Vault complains."""
    return replies(status, json.dumps({"errors": [why]}).encode(), **headers)


def half(connection: socket.socket, upstream: Upstream) -> None:
    """The server's own headers, and half of its body."""
    head, end, body = upstream().partition(END)
    connection.sendall(head + end + body[: len(body) // 2])


def half_a_head(connection: socket.socket, upstream: Upstream) -> None:
    """Half of the server's own headers."""
    head = upstream().partition(END)[0]
    connection.sendall(head[: len(head) // 2])


def silence(connection: socket.socket, _: Upstream) -> None:
    """A black hole: nothing, until the client has had enough."""
    connection.recv(1)


def after(seconds: float) -> Fault:
    """The server's answer, so much later."""

    def answer(connection: socket.socket, upstream: Upstream) -> None:
        connection.settimeout(seconds)
        with contextlib.suppress(TimeoutError):
            connection.recv(1)
        connection.sendall(upstream())

    return answer


class FaultProxy:
    """Passes everything on, until it is told otherwise; counts what arrives. Any thread may tell it."""

    def __init__(self, upstream: str) -> None:
        self._host = urlsplit(upstream).netloc
        self._faults: list[tuple[str, Fault]] = []
        self._server: _Server | None = None
        self.seen: list[Seen] = []
        # While it is away, nobody else is given its port.
        self.port = free_port()
        self.back()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, fault: Fault, *, where: str = "") -> None:
        """From now on, for requests whose `METHOD /path` this pattern is found in; the latest fault wins."""
        self._faults = [(where, fault), *self._faults]

    def heal(self) -> None:
        """Pass everything on again."""
        self._faults = []

    def away(self) -> None:
        """Refuse connections, and break off those that are open."""
        if self._server is not None:
            self._server.end()
            self._server = None

    def back(self) -> None:
        """Listen again, at the same address."""
        self._server = _Server(self.port, self._handler())

    def asked(self, where: str = "", *, since: float = 0.0) -> list[Seen]:
        """The requests in whose `METHOD /path` this pattern is found."""
        return [each for each in self.seen if each.at >= since and re.search(where, f"{each.method} {each.path}")]

    def _fault(self, request: str) -> Fault | None:
        return next((fault for where, fault in self._faults if re.search(where, request)), None)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.seen.append(Seen(time.monotonic(), self.command, self.path))

                fault = proxy._fault(f"{self.command} {self.path}")
                # Said, or the client could send its next request into a connection that is just being closed.
                more = {"Connection": "close"} if fault else {}

                def upstream() -> bytes:
                    return _asked(proxy._host, self.command, self.path, body, dict(self.headers), more)

                if fault is None:
                    self.wfile.write(upstream())
                else:
                    self.close_connection = True
                    fault(self.connection, upstream)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


def _asked(host: str, method: str, path: str, body: bytes, headers: dict[str, str], more: dict[str, str]) -> bytes:
    """The server's whole answer, with `more` headers."""
    with contextlib.closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
    kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
    length = answer.getheader("Content-Length", "0") if method == "HEAD" else str(len(content))
    head = "".join(f"{name}: {value}\r\n" for name, value in [*kept, ("Content-Length", length), *more.items()])
    return f"HTTP/1.1 {answer.status} {answer.reason}\r\n{head}\r\n".encode() + content


_HOP = ("connection", "transfer-encoding", "content-length")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # one that comes while it is full comes a second later

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Listen no more, and break off what is open."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> Any:
        connection, client = super().get_request()
        self._open.add(connection)
        return connection, client

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or a server that is gone, ends the connection."""


@contextlib.contextmanager
def fault_proxy(upstream: str) -> Iterator[FaultProxy]:
    """A proxy before the server at that address, until the context ends."""
    proxy = FaultProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.away()
