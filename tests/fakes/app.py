"""A main container that answers HTTP, in a thread."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Heard:
    """One request that the app got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class App:
    """Answers what it's told to; `answers` is called for each request, for its status, headers and body."""

    answers: Callable[["Heard"], tuple[int, dict[str, str], bytes]] = lambda heard: (200, {}, b"ok")
    heard: list[Heard] = field(default_factory=list)
    port: int = 0

    def answering(self, status: int, body: bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers = lambda heard: (status, named, body)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self, tls: ssl.SSLContext | None = None) -> Iterator["App"]:
        server = _Server(("127.0.0.1", self.port), self._handler())
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        app = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                heard = Heard(self.command, self.path, dict(self.headers), body)
                app.heard.append(heard)
                status, headers, content = app.answers(heard)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = answer  # noqa: N815

            def log_message(self, *args: object) -> None:
                pass

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # one that comes while it is full comes a second later

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that doesn't like us, or has seen enough, is no error here."""
