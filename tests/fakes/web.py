"""A small HTTP server that speaks the real protocol and can misbehave; counts what it sends, keeps what it is asked."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    certificate: bool = False


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "WebServer"

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        shown = isinstance(self.connection, ssl.SSLSocket) and bool(self.connection.getpeercert())
        self.server.asked.append(Asked(self.command, self.path, headers, shown))
        try:
            self.server.respond(self)
        except ConnectionError:
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def reply(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """A well-formed answer, unless `headers` say otherwise."""
        sent = {"Content-Length": str(len(body)), **(headers or {})}
        self.send_response_only(status)
        for name, value in sent.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.send(body)

    def send(self, body: bytes) -> None:
        if self.command == "HEAD":
            return
        # Counted first: the client may have read it all before the next line runs.
        self.server.body_bytes += len(body)
        self.wfile.write(body)

    def break_off(self) -> None:
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


@dataclass
class Page:
    """One file as a good server serves it: ETag, conditions, ranges. `cut`: how many bytes an answer has at most."""

    content: bytes
    etag: str = ""
    modified: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None

    def __call__(self, request: Request) -> None:
        revision = self.etag or self.modified
        facts = {"Date": formatdate(usegmt=True), **self.headers}
        facts |= {"ETag": self.etag} if self.etag else {}
        facts |= {"Last-Modified": self.modified} if self.modified else {}
        asked = {name.lower(): value for name, value in request.headers.items()}
        held = asked.get("if-none-match") or asked.get("if-modified-since")
        if held and held == revision:
            request.reply(304, {**facts, "Content-Length": ""})
            return
        first, last, status = 0, len(self.content) - 1, 200
        if "range" in asked and asked.get("if-range") == revision:
            begin, _, end = asked["range"].removeprefix("bytes=").partition("-")
            first, last, status = int(begin), min(last, int(end or last)), 206
            facts["Content-Range"] = f"bytes {first}-{last}/{len(self.content)}"
        body = self.content[first : last + 1]
        if self.cut is None or len(body) <= self.cut:
            request.reply(status, facts, body)
        else:
            request.reply(status, {**facts, "Content-Length": str(len(body))}, body[: self.cut])
            request.break_off()


class WebServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # one that comes while it is full comes a second later
    # Two threads of a test never fight for a port: the system chooses it.
    allow_reuse_address = False

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.scheme = "https" if tls else "http"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.asked: list[Asked] = []
        self.body_bytes = 0
        self.connections = 0
        self.respond: Callable[[Request], None] = lambda request: request.reply(404)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is nothing to report."""


@contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    server = WebServer(tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
