"""TLS clients of the apps: one that connects anew all the time, and one that stays."""

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from refresher.demo.tls_client import PAUSE, TIMEOUT, TlsClient, serial_of
from refresher.notifiers.starttls import ask_postgres

NAME = "web.example.com"
WITHOUT_AN_ANSWER = "the connection was closed without a whole answer"
_STARTUP = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0"
_QUERY = b"SELECT 1\0"


def _length(rest: bytes) -> bytes:
    return (len(rest) + 4).to_bytes(4, "big")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a client talks: what comes before TLS and after it, a question, and how each answer ends."""

    question: bytes
    end: bytes
    before: Callable[[socket.socket], None] = lambda connection: None
    opening: bytes = b""


HTTP = Protocol(question=b"GET /ping HTTP/1.1\r\nHost: web.example.com\r\n\r\n", end=b"hello")
TRAEFIK = Protocol(question=HTTP.question, end=b"OK")
REDIS = Protocol(question=b"PING\r\n", end=b"+PONG\r\n")
POSTGRES = Protocol(
    before=ask_postgres,
    opening=_length(_STARTUP) + _STARTUP,
    question=b"Q" + _length(_QUERY) + _QUERY,
    end=b"Z\0\0\0\x05I",
)


class Connection:
    """A connection on which the app has answered once. Raises OSError."""

    def __init__(self, protocol: Protocol, port: int, roots: Path) -> None:
        self._protocol = protocol
        with contextlib.ExitStack() as opened:
            raw = opened.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT))
            protocol.before(raw)
            trust = ssl.create_default_context(cafile=roots)
            self._tls = opened.enter_context(trust.wrap_socket(raw, server_hostname=NAME))
            if protocol.opening:
                self._said(protocol.opening)
            self.ask()
            self.close = opened.pop_all().close

    @property
    def serial(self) -> str:
        """Of the certificate that was served, written as OpenBao does."""
        return serial_of(self._tls)

    def ask(self) -> None:
        """Ask and get the answer. Raises OSError if the connection has come to its end."""
        self._said(self._protocol.question)

    def _said(self, question: bytes) -> None:
        self._tls.sendall(question)
        answer = b""
        while not answer.endswith(self._protocol.end):
            portion = self._tls.recv(65536)
            if not portion:
                raise ConnectionResetError(f"{WITHOUT_AN_ANSWER}: {answer!r}")
            answer += portion


class Visitor:
    """Keeps its connection and asks all the time; takes a new one when that has come to its end."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._left = threading.Event()
        self.returns = 0
        self.failures: list[str] = []

    @contextlib.contextmanager
    def asking(self) -> Iterator["Visitor"]:
        """In a thread, until the context ends."""
        thread = threading.Thread(target=self._return_until_left, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._left.set()
            thread.join()

    def _return_until_left(self) -> None:
        try:
            while not self._left.is_set():
                with contextlib.closing(self._connect()) as connection:
                    self._ask_until_the_end(connection)
        except OSError as error:
            self.failures.append(f"no connection: {error}")

    def _ask_until_the_end(self, connection: Connection) -> None:
        while not self._left.wait(PAUSE):
            try:
                connection.ask()
            except OSError:
                self.returns += 1
                return


class Client(TlsClient):
    """Connects, asks and leaves, again and again."""

    def __init__(self, protocol: Protocol, port: int, roots: Path) -> None:
        super().__init__(port, name=NAME, roots=roots)
        self._connection = functools.partial(Connection, protocol, port, roots)

    def _served(self) -> str:
        with contextlib.closing(self._connection()) as connection:
            return connection.serial
