"""What dulwich sends its requests through: limits of time and size, one server, and errors by what they mean."""

import time
from datetime import timedelta
from typing import Protocol

import urllib3
from urllib3.exceptions import HTTPError

from refresher.errors import PermanentError, RefresherError, TransientError, UnavailableError

LONGEST = 600.0
"""Seconds for the body of one answer: a byte now and then keeps within every limit of a single read."""
AWAY = frozenset({429, 502, 503, 504})
"""What a server says for itself, or one before it: it wants a pause, or isn't there. A 500 may be one repository's."""


class Pool(Protocol):
    """Connections: a `urllib3.PoolManager`, or a `ProxyManager`."""

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        body: bytes | None,
        preload_content: bool,
        retries: bool,
    ) -> urllib3.BaseHTTPResponse:
        """The answer's status and headers, its body unread."""
        ...

    def clear(self) -> None:
        """Close what is idle."""
        ...


class Answer:
    """A body that is read within the time and the size that are left for it. The rest is what dulwich looks at."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, *, repository: str, limit: int) -> None:
        self._response, self._asked, self._url = response, url, repository
        self._left = self._limit = limit
        self._deadline = time.monotonic() + LONGEST
        self.status, self.headers, self.close = response.status, response.headers, response.close

    def geturl(self) -> str:
        """Where it came from, which is where it was asked for."""
        return self._asked

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end. Raises TransientError and PermanentError."""
        parts: list[bytes] = []
        while size and (part := self._some(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _some(self, size: int) -> bytes:
        # A plain read(size) would go on until all has come, however slowly.
        if time.monotonic() > self._deadline:
            raise TransientError(f"{self._url} takes more than {LONGEST:g} s for an answer")
        try:
            part = self._response.read1(size)
        except (HTTPError, OSError) as error:
            raise unreachable(error, self._url) from error
        self._left -= len(part)
        if self._left < 0:
            raise PermanentError(f"{self._url} sends more than the limit of {self._limit} bytes")
        return part


class Guard:
    """Passes requests for one repository on, to nobody else, and gives back whatever was opened for them."""

    def __init__(self, pool: Pool, repository: str, *, limit: int) -> None:
        self.headers: dict[str, str] = {}
        self._pool, self._repository, self._limit = pool, repository, limit
        self._answers: list[Answer] = []

    def request(
        self, method: str, url: str, *, headers: dict[str, str], preload_content: bool, body: bytes | None = None
    ) -> Answer:
        """An answer that holds what was asked for. Raises TransientError and PermanentError for any other."""
        # A server can name other places to fetch packs from: with our address, inside our network.
        if not url.startswith(f"{self._repository}/"):
            raise PermanentError(f"{self._repository} leads to another place, which is refused")
        try:
            response = self._pool.request(
                method,
                url,
                headers=headers,
                body=body,
                preload_content=preload_content,
                retries=False,
            )
        except (HTTPError, OSError) as error:
            raise unreachable(error, self._repository) from error
        answer = Answer(response, url, repository=self._repository, limit=self._limit)
        self._answers.append(answer)
        _refuse(response, self._repository)
        return answer

    def close(self) -> None:
        """Close every connection, whoever has left it open."""
        for answer in self._answers:
            answer.close()
        self._pool.clear()


def unreachable(error: Exception, url: str) -> RefresherError:
    """What urllib3's errors mean for the next attempt."""
    if isinstance(error, urllib3.exceptions.SSLError):
        return PermanentError(f"the certificate of {url} can't be verified, or it speaks no TLS")
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return UnavailableError(f"the host of {url} has no address")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return UnavailableError(f"{url} accepts no connection")
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return UnavailableError(f"{url} doesn't answer in time")
    if isinstance(error, urllib3.exceptions.ProxyError):
        return UnavailableError(f"the proxy to {url} doesn't lead there")
    # This answer's alone, perhaps: it doesn't follow that other repositories can't be had there.
    return TransientError(f"{url} breaks off: {type(error).__name__}")


def _refuse(response: urllib3.BaseHTTPResponse, url: str) -> None:
    status, kind = response.status, response.headers.get("Content-Type", "")
    if status in (401, 403):
        raise PermanentError(f"{url} answers {status}: it wants a token, or another one")
    if status == 429 or status >= 500:
        asked = response.headers.get("Retry-After", "")
        wait = timedelta(seconds=int(asked[:9])) if asked.isascii() and asked.isdigit() else None
        trouble = UnavailableError if status in AWAY else TransientError
        raise trouble(f"{url} answers {status}", retry_after=wait)
    if 300 <= status < 400:
        raise PermanentError(f"{url} answers {status}: the repository has moved; configure where to")
    if status != 200:
        raise PermanentError(f"{url} answers {status}")
    if not kind.startswith("application/x-git-upload-pack-"):
        raise PermanentError(f"{url} answers, but not as a Git server; perhaps it is a web page")
