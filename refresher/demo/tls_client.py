"""A TLS client that connects to the app all the time, and notes when it sees another certificate."""

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PAUSE = 0.01
"""Seconds between two connections, and so about how late a change is seen."""
TIMEOUT = 5.0
"""Seconds for one connection."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The first time that the app served a certificate. `serial` is written as OpenBao does: `3a:91:…`."""

    serial: str
    at: datetime


class TlsClient:
    """What a client of the app saw. It trusts the PKI's root and nothing else."""

    def __init__(self, port: int, *, name: str, roots: Path) -> None:
        self._port, self._name = port, name
        self._trust = ssl.create_default_context(cafile=roots)
        self._sightings: queue.SimpleQueue[Sighting] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._serial: str | None = None
        self.handshakes = 0
        self.failures: list[str] = []

    @contextlib.contextmanager
    def connecting(self) -> Iterator["TlsClient"]:
        """Connect again and again in a thread, until the context ends."""
        thread = threading.Thread(target=self._connect_until_ended, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join()

    def sighting(self) -> Sighting | None:
        """The oldest sighting that wasn't asked for yet, if there is one."""
        try:
            return self._sightings.get_nowait()
        except queue.Empty:
            return None

    def _connect_until_ended(self) -> None:
        while not self._ended.wait(PAUSE):
            self.handshakes += 1
            try:
                serial = self._served()
            except OSError as error:
                self.failures.append(str(error) or type(error).__name__)
                continue
            if serial != self._serial:
                self._serial = serial
                self._sightings.put(Sighting(serial, datetime.now(UTC)))

    def _served(self) -> str:
        with (
            socket.create_connection(("127.0.0.1", self._port), TIMEOUT) as raw,
            self._trust.wrap_socket(raw, server_hostname=self._name) as connection,
        ):
            return serial_of(connection)


def serial_of(connection: ssl.SSLSocket) -> str:
    """Of the certificate that the other side showed, which has to be trusted."""
    certificate = connection.getpeercert() or {}
    digits = str(certificate["serialNumber"]).lower()
    return ":".join(digits[start : start + 2] for start in range(0, len(digits), 2))
