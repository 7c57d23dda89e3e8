"""A main container: reads its settings when it is told, by HTTP, by a signal or by a marker, and says what it runs.

It runs in the pod from a ConfigMap, so it needs nothing but the standard library.
"""

import http.server
import json
import signal
import threading
from pathlib import Path

SETTINGS = Path("/shared/settings/settings.json")
MARKER = Path("/shared/settings.changed.json")


class App:
    """What it runs, how often it was told, and whether it hears."""

    def __init__(self) -> None:
        self.running = json.loads(SETTINGS.read_text())
        self.told = 0
        self.deaf = False

    def reload(self, *_: object) -> None:
        """Read the settings again."""
        self.running = json.loads(SETTINGS.read_text())
        self.told += 1

    def follow_marker(self) -> None:
        """Read them again whenever the marker is another file."""
        seen = MARKER.stat().st_ino if MARKER.exists() else None
        while True:
            found = MARKER.stat().st_ino if MARKER.exists() else None
            if found != seen:
                self.reload()
            seen = found
            threading.Event().wait(0.05)

    def answer(self, method: str, path: str) -> tuple[int, object]:
        """Status and document for a request."""
        if path == "/-/reload" and self.deaf:
            return 503, None
        if path == "/-/reload":
            self.reload()
        if path == "/deaf":
            self.deaf = method == "PUT"
        return 200, {"running": self.running, "told": self.told}


def main() -> None:
    app = App()
    signal.signal(signal.SIGHUP, app.reload)
    signal.signal(signal.SIGTERM, lambda *_: exit())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, document = app.answer(self.command, self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    threading.Thread(target=app.follow_marker, daemon=True).start()
    # In a thread, because Python runs signal handlers in the first one.
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        signal.pause()


main()
