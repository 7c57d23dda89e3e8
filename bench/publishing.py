"""What publishing costs beside a plain write and rename, and how soon after the flip the app is called."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from refresher.contract import Fetched, Held, InlineFile
from refresher.cycle import refresh
from refresher.model import Asset, NamedNotifier, Publish, Result, Wish
from refresher.notifiers.http import HttpNotifier, HttpOptions
from refresher.telling import tell

FILES = {"tls.crt": 1800, "tls.key": 240, "ca.crt": 700}
"""Names and bytes: a leaf with an intermediate, an ECDSA key, a root."""


class Source:
    """Offers other content at each look."""

    def __init__(self) -> None:
        self._looks = 0

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched]:
        """New files, in memory."""
        self._looks += 1
        mark = f"{self._looks:08d}".encode()
        yield Fetched(
            revision=str(self._looks),
            files=[InlineFile(name, mark * (size // len(mark))) for name, size in FILES.items()],
        )


def publishing(directory: Path, *, count: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of a whole refresh with fsync, of writing and renaming the same files, and of that with an fsync each."""
    web = _asset(directory / "refresher", ())
    ours, plain, synced = [], [], []
    for number in range(count):
        ours.append(_timed(lambda: _publish(web)))
        plain.append(_timed(lambda: _write_plainly(directory / "plain", number, fsync=False)))  # noqa: B023 - runs now
        synced.append(_timed(lambda: _write_plainly(directory / "synced", number, fsync=True)))  # noqa: B023
    return ours, plain, synced


def flip_to_call(directory: Path, *, count: int) -> list[float]:
    """Seconds from the rename that publishes to the arrival of the call at the app."""
    flips: list[float] = []
    calls: list[float] = []

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and arguments[1] == "..data":
            flips.append(time.perf_counter())

    sys.addaudithook(note)
    with _app(calls) as url:
        notifier = HttpNotifier(HttpOptions(url=url))
        named = NamedNotifier(name="http", key="http", notifier=notifier)
        web = _asset(directory / "told", (named,))
        for _ in range(count):
            _publish(web)
            list(tell(named, [web], clock=_now))
    return [call - flip for flip, call in zip(flips, calls, strict=True)]


def _asset(volume: Path, notifiers: tuple[NamedNotifier, ...]) -> Asset:
    volume.mkdir()
    return Asset(
        name="web",
        provider=Source(),
        source="sha256:0",
        verifiers=(),
        checks="sha256:0",
        directory=volume / "tls",
        volume=volume,
        publish=Publish(),
        notifiers=notifiers,
    )


def _publish(web: Asset) -> None:
    outcome = refresh(web, wish=Wish.RENEW, clock=_now).outcome
    if outcome.result is not Result.PUBLISHED:
        raise RuntimeError(f"it was not published: {outcome.error}")


def _write_plainly(directory: Path, number: int, *, fsync: bool) -> None:
    directory.mkdir(exist_ok=True)
    mark = f"{number:08d}".encode()
    for name, size in FILES.items():
        with (directory / f"{name}.tmp").open("wb") as file:
            file.write(mark * (size // len(mark)))
            if fsync:
                file.flush()
                os.fsync(file.fileno())
        (directory / f"{name}.tmp").rename(directory / name)


@contextmanager
def _app(calls: list[float]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append(time.perf_counter())
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def _timed(act: Callable[[], None]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _now() -> datetime:
    return datetime.now(UTC)
