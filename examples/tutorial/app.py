"""An app that knows nothing of refresher: HTTPS with the files in ./shared/tls, read again when somebody says so."""

import ssl
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

TLS = Path("shared/tls")


class Site(BaseHTTPRequestHandler):
    """https://localhost:8443/, for the world."""

    def do_GET(self) -> None:
        """Say hello."""
        answer(self, 200, b"hello\n")


class Admin(BaseHTTPRequestHandler):
    """http://127.0.0.1:8080/-/reload, for this machine."""

    def do_POST(self) -> None:
        """Read certificate and key: connections from now on get them, and those that are open go on."""
        try:
            Certificate.current = loaded()
        except OSError as error:
            answer(self, 422, f"{error}\n".encode())
        else:
            answer(self, 200, b"reloaded\n")


def loaded() -> ssl.SSLContext:
    """A context with the files of this moment, both of one generation."""
    generation = (TLS / "tls.crt").resolve(strict=True).parent
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(generation / "tls.crt", generation / "tls.key")
    return context


class Certificate:
    """What the next connection gets."""

    current = loaded()

    @classmethod
    def show(cls, connection: ssl.SSLObject, *_: object) -> None:
        """Called when a handshake begins."""
        connection.context = cls.current


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    """Send an answer."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def main() -> None:
    """Serve both until Ctrl-C."""
    listening = loaded()
    listening.sni_callback = Certificate.show
    site = ThreadingHTTPServer(("127.0.0.1", 8443), Site)
    site.socket = listening.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
    Thread(target=site.serve_forever, daemon=True).start()
    HTTPServer(("127.0.0.1", 8080), Admin).serve_forever()


if __name__ == "__main__":
    main()
