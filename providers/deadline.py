"""HTTP connection pools whose time limits are for a whole answer, or a part of it, and not for each read of a socket.

A socket's own timeout starts anew with each byte: a server that sends one now and then would be waited for for ever.
"""

import contextlib
import io
import socket
import time
from http.client import HTTPResponse, IncompleteRead
from ssl import SSLSocket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

BUFFER = 32 * 1024
"""Bytes of an answer's beginning that are read at once: with its headers, the whole body of a small file of 16 KiB."""
NOTICEABLE = 0.01
"""A socket's time limit stays as it is while it is wrong by no more than this part of it: setting one is a system call,
in which another thread may take its turn. So a deadline may be passed by a hundredth.
"""
HEADERS = 2
"""A paced answer's status and headers have to be whole within this many times the read timeout."""


class _Punctual(io.RawIOBase):
    """A socket's bytes until a deadline, and never after more than `silence` seconds (None: the deadline's) without."""

    def __init__(self, source: socket.socket, seconds: float, *, silence: float | None = None) -> None:
        self._stream = source.makefile("rb", buffering=0)
        self._source, self._silence = source, silence
        self.allow(seconds)

    def allow(self, seconds: float) -> None:
        """Set the deadline anew, from now."""
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the answer took too long")
        self._limit(remaining if self._silence is None else min(remaining, self._silence))
        count = self._stream.readinto(buffer)
        return count + self._records(buffer[count:]) if count and isinstance(self._source, SSLSocket) else count

    def _limit(self, seconds: float) -> None:
        """Have the socket wait for about so long."""
        known = self._source.gettimeout()
        if known is None or abs(known - seconds) > NOTICEABLE * seconds:
            self._source.settimeout(seconds)

    def _records(self, buffer: memoryview) -> int:
        """What else has arrived over TLS, which gives no more than a record of 16 KiB at a time."""
        count, patience = 0, self._source.gettimeout()
        self._source.settimeout(0)
        # An error here would lose what was read; the next read meets it again, or the end of the body before its time.
        with contextlib.suppress(OSError):
            while more := self._source.recv_into(buffer[count:]):
                count += more
        # The next request, or the handshake of a tunnel, waits again.
        self._source.settimeout(patience)
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _PunctualSocket:
    """What `http.client` needs of a socket to read a response."""

    def __init__(self, stream: _Punctual) -> None:
        self._stream = stream

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._stream, BUFFER)


class Into(int):
    """How many bytes to read, as `read1` takes it, and where to put them.

    urllib3 passes what it is asked for on to the answer below it, and counts what comes back. So bytes get straight
    from the socket to where they are wanted, with urllib3's own bookkeeping and by nothing but its public methods.
    """

    view: memoryview

    def __new__(cls, view: memoryview) -> "Into":
        """As many as `view` holds."""
        into = super().__new__(cls, len(view))
        into.view = view
        return into


class _PacedResponse(HTTPResponse):
    """An answer of any size, each read of which is on time, however slowly chunk sizes and trailers come."""

    def __init__(self, source: socket.socket, silence: float, **arguments: Any) -> None:
        self._stream, self._silence = _Punctual(source, HEADERS * silence, silence=silence), silence
        self._buffered = True
        super().__init__(_PunctualSocket(self._stream), **arguments)  # type: ignore[arg-type]

    def read(self, amt: int | None = None) -> bytes:
        self._stream.allow(self._silence)
        return super().read(amt)

    def read1(self, n: int = -1) -> bytes:
        """At most one read of the socket's bytes. Given `Into`, they are put there, and the filled part is returned."""
        self._stream.allow(self._silence)
        return self._fill(n) if isinstance(n, Into) else super().read1(n)

    def _fill(self, into: Into) -> bytes:
        if self.isclosed():
            return b""
        count = self._fill_chunk(into.view) if self.chunked else self._fill_some(into.view[: self.length])
        if self.length is not None:
            self.length -= count
        return into.view[:count]  # type: ignore[return-value]  # as good as bytes to urllib3, which counts them

    def _fill_chunk(self, view: memoryview) -> int:
        self._buffered = self._buffered or not self.chunk_left
        left = self._get_chunk_left()  # type: ignore[attr-defined]  # left out of the types
        if left is None:
            return 0
        count = self._fill_some(view[:left])
        if not count:
            raise IncompleteRead(b"")
        self.chunk_left = left - count
        return count

    def _fill_some(self, view: memoryview) -> int:
        if not self._buffered:
            return self._stream.readinto(view) or 0
        # Never more than the buffer can hold: asked for more, `readinto1` hands out what there is only after it has
        # waited for the next bytes, and drops it if they don't come in time.
        self._buffered = len(view) < BUFFER
        return self.fp.readinto1(view[:BUFFER])


class _PunctualMixin(HTTPConnection):
    @property
    def response_class(self) -> Any:  # type: ignore[override]
        """How `http.client` makes a response of the socket; `timeout` is what urllib3 has left of the total by then."""
        seconds = float(self.timeout or 0)

        def response(source: socket.socket, **arguments: Any) -> HTTPResponse:
            stream = _PunctualSocket(_Punctual(source, seconds))
            return HTTPResponse(stream, **arguments)  # type: ignore[arg-type]

        return response


class _PacedMixin(HTTPConnection):
    @property
    def response_class(self) -> Any:  # type: ignore[override]
        """How `http.client` makes a response of the socket; `timeout` is the one for reading by then."""
        seconds = float(self.timeout or 0)

        def response(source: socket.socket, **arguments: Any) -> HTTPResponse:
            return _PacedResponse(source, seconds, **arguments)

        return response


class _PunctualHttp(_PunctualMixin):
    pass


class _PunctualHttps(_PunctualMixin, HTTPSConnection):
    pass


class _PacedHttp(_PacedMixin):
    pass


class _PacedHttps(_PacedMixin, HTTPSConnection):
    pass


class PunctualHttpPool(urllib3.HTTPConnectionPool):
    """Plain HTTP, a whole answer within the timeout."""

    ConnectionCls = _PunctualHttp


class PunctualHttpsPool(urllib3.HTTPSConnectionPool):
    """HTTPS, a whole answer within the timeout."""

    ConnectionCls = _PunctualHttps


class PacedHttpPool(urllib3.HTTPConnectionPool):
    """Plain HTTP, headers within `HEADERS` read timeouts, each read of the body within one."""

    ConnectionCls = _PacedHttp


class PacedHttpsPool(urllib3.HTTPSConnectionPool):
    """HTTPS, headers within `HEADERS` read timeouts, each read of the body within one."""

    ConnectionCls = _PacedHttps
