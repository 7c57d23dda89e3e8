"""A forward proxy (RFC 9110, 7.6 and 9.3.6): requests in absolute form, and tunnels. Every name is loopback's to it."""

import contextlib
import socket
import socketserver
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlsplit

END = b"\r\n\r\n"
CHUNK = 256 * 1024


class _Client(socketserver.BaseRequestHandler):
    server: "ForwardProxy"

    def handle(self) -> None:
        """One request, and all that follows from it."""
        with contextlib.suppress(OSError):
            head, _, begun = _read_head(self.request).partition(END)
            request, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = request.split(" ")
            self.server.asked.append(f"{method} {target}")
            shown = [line.partition(": ")[2] for line in lines if line.lower().startswith("proxy-authorization:")]
            if self.server.login and shown != [f"Basic {self.server.login}"]:
                self.request.sendall(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\nConnection: close" + END)
            elif method == "CONNECT":
                self._tunnel(target, begun)
            else:
                self._pass_on(method, target, lines)

    def _tunnel(self, target: str, begun: bytes) -> None:
        with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as server:
            self.request.sendall(b"HTTP/1.1 200 Connected" + END)
            server.sendall(begun)
            back = threading.Thread(target=_copy, args=(server, self.request), daemon=True)
            back.start()
            _copy(self.request, server)
            back.join()

    def _pass_on(self, method: str, target: str, lines: list[str]) -> None:
        url = urlsplit(target)
        hops = ("proxy-", "connection:", "keep-alive:", "te:", "upgrade:")
        kept = [line for line in lines if not line.lower().startswith(hops)]
        request = "\r\n".join([f"{method} {url._replace(scheme='', netloc='').geturl()} HTTP/1.1", *kept])
        with socket.create_connection(("127.0.0.1", url.port or 80)) as server:
            server.sendall(request.encode("latin-1") + b"\r\nConnection: close" + END)
            _copy(server, self.request)


def _read_head(connection: socket.socket) -> bytes:
    head = b""
    while END not in head and (more := connection.recv(65536)):
        head += more
    return head


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Everything, until one of them has enough."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class ForwardProxy(socketserver.ThreadingTCPServer):
    """`asked` are the requests' lines; with a login (`name:password`), nobody else is served."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, login: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Client)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.login = b64encode(login.encode()).decode()
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is nothing to report."""


@contextlib.contextmanager
def forward_proxy(login: str = "", tls: ssl.SSLContext | None = None) -> Iterator[ForwardProxy]:
    """A running proxy, until the context ends."""
    with ForwardProxy(login, tls) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
