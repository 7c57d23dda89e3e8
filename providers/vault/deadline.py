"""HTTP connection pools whose time limit is for the whole response, not for each read of it."""

import io
import socket
import time
from http.client import HTTPResponse
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection


class _Punctual(io.RawIOBase):
    """A socket's bytes until a deadline: without it, a server that sends a byte now and then is waited for for ever."""

    def __init__(self, source: socket.socket, deadline: float) -> None:
        self._stream = source.makefile("rb", buffering=0)
        self._source, self._deadline = source, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the whole response took too long")
        self._source.settimeout(remaining)
        return self._stream.readinto(buffer)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _PunctualSocket:
    """What `http.client` needs of a socket to read a response."""

    def __init__(self, source: socket.socket, deadline: float) -> None:
        self._source, self._deadline = source, deadline

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Punctual(self._source, self._deadline))


class _PunctualMixin(HTTPConnection):
    @property
    def response_class(self) -> Any:  # type: ignore[override]
        """How `http.client` makes a response of the socket; `timeout` is what urllib3 has left of the total by then."""
        deadline = time.monotonic() + float(self.timeout or 0)

        def response(source: socket.socket, **arguments: Any) -> HTTPResponse:
            return HTTPResponse(_PunctualSocket(source, deadline), **arguments)  # type: ignore[arg-type]

        return response


class _HttpConnection(_PunctualMixin):
    pass


class _HttpsConnection(_PunctualMixin, HTTPSConnection):
    pass


class PunctualHttpPool(urllib3.HTTPConnectionPool):
    """Plain HTTP."""

    ConnectionCls = _HttpConnection


class PunctualHttpsPool(urllib3.HTTPSConnectionPool):
    """HTTPS."""

    ConnectionCls = _HttpsConnection
