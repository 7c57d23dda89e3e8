"""A small main container: serves HTTPS with the certificate of a shared directory, and loads it anew when told.

    python -m refresher.demo.tls_app --directory /shared/tls --https 127.0.0.1:8443 --local 127.0.0.1:8080

On the local address, without TLS: `POST /-/reload` answers 200, or 422 if certificate and key can't be loaded, and
goes on with the ones that it has; `GET /-/told` answers the generations it was told of, by asset. Connections that are
open when it reloads stay open.
"""

import argparse
import json
import socket
import ssl
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

IDLE = 30.0
"""Seconds that a silent client may keep a connection, and so a thread."""
BODY_LIMIT = 1024 * 1024
"""Bytes of a change; one of 10,000 files is as long."""

Address = tuple[str, int]


class Certificate:
    """The pair that new connections get."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.context = self._loaded()

    def reload(self) -> None:
        """Take the pair that is visible now. OSError, of which ssl.SSLError is one, if it can't be loaded."""
        self.context = self._loaded()

    def _loaded(self) -> ssl.SSLContext:
        # Both files of one generation: between two look-ups through the links a new one may become visible.
        generation = (self._directory / "tls.crt").resolve(strict=True).parent
        # A new context each time: one in use that meets a bad pair would be left with half of it.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(generation / "tls.crt", generation / "tls.key")
        return context


class App:
    """What the app knows: its certificate, and what it has been told."""

    def __init__(self, directory: Path) -> None:
        self.certificate = Certificate(directory)
        self._told: defaultdict[str, list[int]] = defaultdict(list)
        self._lock = threading.Lock()

    def reload(self, change: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Heard of a change: status and document to answer."""
        try:
            self.certificate.reload()
        except OSError as error:
            return 422, {"error": f"the certificate can't be loaded: {error.strerror or type(error).__name__}"}
        with self._lock:
            self._told[str(change.get("asset"))].append(int(change.get("generation") or 0))
        return 200, {}

    def told(self) -> dict[str, list[int]]:
        """The generations that the app was told of, by asset, oldest first."""
        with self._lock:
            return {asset: list(generations) for asset, generations in self._told.items()}


class HttpServer(ThreadingHTTPServer):
    """A thread for each connection; none of them holds up the end."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is no error here."""


class HttpsServer(HttpServer):
    """Wraps each connection when it comes, so that a new certificate is for new connections only."""

    def __init__(self, address: Address, handler: type[BaseHTTPRequestHandler], certificate: Certificate) -> None:
        super().__init__(address, handler)
        self._certificate = certificate

    def get_request(self) -> tuple[socket.socket, Any]:
        """The handshake is left to the connection's own thread: a silent client must not hold up the next one."""
        connection, client = super().get_request()
        context = self._certificate.context
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), client


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE

    def answer(self, status: int, document: dict[str, Any]) -> None:
        """Send an answer."""
        body = json.dumps(document).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing: the demo speaks for the app."""


class PublicHandler(Handler):
    """What clients come for."""

    def do_GET(self) -> None:
        """Any path."""
        self.answer(200, {"hello": "from the main container"})


def local_handler(app: App) -> type[Handler]:
    """What the sidecar and the demo come for."""

    class LocalHandler(Handler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != "/-/reload":
                self.answer(404, {"error": "there is only /-/reload"})
            elif length > BODY_LIMIT:
                self.answer(413, {"error": "that is no change"})
            else:
                self.answer(*app.reload(_change(self.rfile.read(length))))

        def do_GET(self) -> None:
            found = self.path == "/-/told"
            self.answer(200 if found else 404, dict(app.told()) if found else {"error": "there is only /-/told"})

    return LocalHandler


def _change(body: bytes) -> dict[str, Any]:
    """What a reload was asked with; by hand it may be asked with nothing."""
    try:
        change = json.loads(body)
    except ValueError:
        return {}
    return change if isinstance(change, dict) else {}


def serve(directory: Path, https: Address, local: Address) -> None:
    """Serve until the process is ended. OSError if there is no certificate yet, or an address is taken."""
    app = App(directory)
    with HttpsServer(https, PublicHandler, app.certificate) as public, HttpServer(local, local_handler(app)) as private:
        threading.Thread(target=private.serve_forever, daemon=True).start()
        public.serve_forever()


def _address(written: str) -> Address:
    host, _, port = written.rpartition(":")
    return host, int(port)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m refresher.demo.tls_app")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--https", type=_address, required=True)
    parser.add_argument("--local", type=_address, required=True)
    arguments = parser.parse_args()
    serve(arguments.directory, arguments.https, arguments.local)


if __name__ == "__main__":
    main()
