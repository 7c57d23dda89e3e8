"""One HTTP request and its answer: no redirects, no proxies, no second try, over when the time is."""

import http.client
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Url, parse_url

from refresher.errors import PermanentError, TransientError
from refresher.notifiers.connection import connected
from refresher.options import Secret

Headers = dict[str, str | Secret]


def _http_url(url: str) -> str:
    try:
        parsed = parse_url(url)
    except HTTPError:
        parsed = Url()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("must be a URL such as http://127.0.0.1:8080/-/reload")
    if parsed.auth is not None:
        raise ValueError("must not hold a password: give an Authorization header by reference")
    return url


HttpUrl = Annotated[str, AfterValidator(_http_url)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask. `headers` are read already; `limit` is how many bytes of the answer are wanted."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    ca_file: Path | None
    limit: int

    @property
    def described(self) -> str:
        """The request for messages, without its query, which may hold a token."""
        parsed = parse_url(self.url)
        return f"{self.method} {parsed.scheme}://{parsed.netloc}{parsed.path or '/'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: the status, how long to wait before the next try if it said so, and the start of the body."""

    status: int
    retry_after: timedelta | None
    body: bytes


def read_headers(headers: Headers) -> dict[str, str]:
    """The headers with their secrets read. Raises PermanentError if one can't be, or can't be sent."""
    return {name: _value(name, value) for name, value in headers.items()}


def reach(url: str, *, ca_file: Path | None, within: timedelta) -> None:
    """Connect, with TLS if the URL says so, and ask nothing. Raises TransientError, PermanentError for the CA file."""
    where = parse_url(url)
    with _explained(f"port {_port(where)} of {_host(where)}", within), _opened(where, ca_file, within):
        return


def exchange(request: Request, *, timeout: timedelta) -> Answer:
    """Send the request and wait for the answer, at most `timeout` in all. Raises TransientError."""
    with _explained(request.described, timeout):
        return _exchange(request, timeout)


def _exchange(request: Request, timeout: timedelta) -> Answer:
    url = parse_url(request.url)
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(_host(url), _port(url))
    with _opened(url, request.ca_file, timeout) as connection.sock:
        connection.request(
            request.method, url.request_uri, body=request.body, headers=request.headers, preload_content=False
        )
        with closing(connection.getresponse()) as response:
            body = response.read(request.limit, decode_content=False)
            return Answer(status=response.status, retry_after=_retry_after(response), body=body)


def _opened(url: Url, ca_file: Path | None, within: timedelta) -> AbstractContextManager[socket.socket]:
    """A connection to the URL's host, with TLS if the URL says so."""
    context = _context(ca_file) if url.scheme == "https" else None
    return connected(_host(url), _port(url), within=within, tls=context)


def _host(url: Url) -> str:
    return (url.host or "").strip("[]")


def _port(url: Url) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


@contextmanager
def _explained(what: str, within: timedelta) -> Iterator[None]:
    """Whatever goes wrong becomes a TransientError that begins with `what`."""
    started = time.monotonic()
    try:
        yield
    except (HTTPError, http.client.HTTPException, OSError) as error:
        took = timedelta(seconds=time.monotonic() - started)
        raise TransientError(f"{what}: {_reason(error, took, within)}") from error


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise PermanentError(f"ca_file: {ca_file} can't be read or holds no certificates") from error


def _retry_after(response: BaseHTTPResponse) -> timedelta | None:
    """Seconds only: a date would be another clock's."""
    written = response.headers.get("Retry-After", "")
    return timedelta(seconds=int(written)) if written.isascii() and written.isdigit() and len(written) < 7 else None


def _value(name: str, value: str | Secret) -> str:
    read = value.read() if isinstance(value, Secret) else value
    # http.client would refuse these too, with the value in its message.
    if not (read.isascii() and read.isprintable()):
        raise PermanentError(f"the header {name} can't be sent: it holds line ends, or letters that are not ASCII")
    return read


def _reason(error: Exception, took: timedelta, timeout: timedelta) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused, the app is not up yet"
    if isinstance(error, TimeoutError) or took >= timeout:
        return f"no answer within {timeout.total_seconds():g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or type(error).__name__}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"no sensible answer ({type(error).__name__})"
