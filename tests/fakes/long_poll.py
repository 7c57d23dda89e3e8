"""Servers that hold a request back until there is something else: a long poll by `Prefer: wait`, and a Consul's KV.

Both speak the documented protocol: RFC 7240 with conditional requests (RFC 9110), and Consul's blocking queries. No
package index that we know of has a server that does either.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from urllib.parse import parse_qs, urlsplit

from tests.fakes.web import Page, Request, WebServer, web_server


class Shelf:
    """What a server has: a content that counts its versions, from 1 on. `held` are the requests that it holds back.

    While it `is_away` it cuts off those, and whoever asks then.
    """

    path = "/file"

    def __init__(self, content: bytes = b"one") -> None:
        self.content, self.version = content, 1
        self.held, self.is_away = 0, False
        self._changed = Condition()

    def put(self, content: bytes, *, version: int | None = None) -> None:
        """Have other content; `version` as a server that was restored from a backup would have it."""
        with self._changed:
            self.content, self.version = content, self.version + 1 if version is None else version
            self._changed.notify_all()

    def go_away(self) -> None:
        """Be away from now on."""
        with self._changed:
            self.is_away = True
            self._changed.notify_all()

    def come_back(self, content: bytes) -> None:
        """Be there again, with other content."""
        with self._changed:  # or who asks in between would be told that nothing is new
            self.is_away = False
            self.put(content)

    def touch(self) -> None:
        """Another version with the same content, as a KV has that was written with what it had."""
        self.put(self.content)

    def __call__(self, request: Request) -> None:
        """Answer for the one path that there is."""
        if urlsplit(request.path).path == self.path:
            self.answer(request)
        else:
            request.reply(404)

    def answer(self, request: Request) -> None:
        """Answer with what there is, once it is time."""
        raise NotImplementedError

    def look(self, known: int, seconds: float) -> tuple[int, bytes]:
        """Version and content, once the version is another one than `known` or the time is over."""
        with self._changed:
            if self.version != known:  # nobody is held back, not for a moment
                return self.version, self.content
            self.held += 1
            try:
                self._changed.wait_for(lambda: self.version != known or self.is_away, seconds)
            finally:
                self.held -= 1
            if self.is_away:
                raise ConnectionError("cut off")
            return self.version, self.content


class LongPoll(Shelf):
    """Honours `Prefer: wait`, unless it is told not to."""

    def __init__(self, content: bytes = b"one", *, honours: bool = True) -> None:
        super().__init__(content)
        self.honours = honours

    def answer(self, request: Request) -> None:
        known = re.fullmatch(r'"v([0-9]+)"', request.headers.get("If-None-Match", ""))
        wait = re.search(r"\bwait=([0-9]+)", request.headers.get("Prefer", ""))
        seconds = int(wait[1]) if wait and known and self.honours else 0
        version, content = self.look(int(known[1]) if known else 0, seconds)
        applied = {"Preference-Applied": f"wait={seconds}"} if seconds else {}
        Page(content, etag=f'"v{version}"', headers=applied)(request)


class ConsulKey(Shelf):
    """One key of a Consul's KV store, asked for with `?raw`: an index in each answer, and no ETag."""

    path = "/v1/kv/app"

    def answer(self, request: Request) -> None:
        query = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        assert "raw" in query, request.path
        index, wait = int(query.get("index", ["0"])[0]), query.get("wait", ["300s"])[0]
        known = index if index == self.version else 0
        version, content = self.look(known, int(wait.removesuffix("s")) if known else 0)
        request.reply(200, {"X-Consul-Index": str(version), "Content-Type": "application/octet-stream"}, content)


@contextmanager
def serving(shelf: Shelf, tls: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """A server that has it, on loopback; whoever is held back at the end is let go."""
    with web_server(tls) as server:
        server.respond = shelf
        try:
            yield server
        finally:
            shelf.put(b"", version=0)
