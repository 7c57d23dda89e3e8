"""The one thin place for requests to Vault: each with one deadline and a size limit, no redirects, no proxies."""

import json
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError

from providers.answers import AWAY
from providers.connections import Certificates, Contexts
from providers.reachable import server_time
from providers.vault.pools import PlainPool, TlsPool
from providers.vault.time_limit import remaining
from refresher.errors import PermanentError, RefresherError, TransientError, UnavailableError

BODY_LIMIT = 32 * 1024 * 1024
"""Bytes; Vault's own limit for a request, and so for nearly all that it can hold."""

_SOON = frozenset({408, 412, 425, 429, 472, 473})
"""Statuses below 500 that pass: overloaded, or (412, 472, 473) a standby that hasn't caught up."""

_TEXT_LIMIT = 300
_LONGEST = 10 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said: its JSON object ({} if it said nothing), never shown in a repr; `date` by its own clock."""

    request: str
    status: int
    body: Mapping[str, Any] = field(repr=False)
    retry_after: timedelta | None = None
    complaint: str = ""
    date: datetime | None = None

    @property
    def data(self) -> Mapping[str, Any]:
        """The body's `data` object, {} if there is none."""
        return section(self.body, "data")

    def required(self) -> "Answer":
        """The answer itself if it is a success. Raises TransientError or PermanentError."""
        if self.status < 300:
            return self
        text = f"{self.request} was answered {self.status}" + (f": {self.complaint}" if self.complaint else "")
        if self.status in AWAY:
            raise UnavailableError(text, retry_after=self.retry_after)
        if self.status in _SOON or self.status >= 500:
            raise TransientError(text, retry_after=self.retry_after)
        raise PermanentError(text)

    def fields(self) -> Mapping[str, Any]:
        """The `data` of a success. Raises TransientError, or PermanentError, also if there are none."""
        found = self.required().data
        if not found:
            raise PermanentError(f"{self.request} answered no fields")
        return found


class Connection:
    """Connections to one server, kept open between requests; any number of threads may use it.

    `timeout` is in seconds and covers each request from connecting to the last byte, or less where several have to be
    over `together_within` a time. Name resolution is outside it. `certificates`, `server_name` and `contexts` are for
    https; see `TlsPool`.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float,
        namespace: str | None,
        certificates: Certificates,
        server_name: str | None,
        contexts: Contexts,
    ) -> None:
        server = urlsplit(address)
        self._host = server.netloc
        self._prefix = server.path.rstrip("/") + "/v1/"
        self._timeout = timeout
        self._headers = {"X-Vault-Request": "true", "Accept": "application/json", "User-Agent": "refresher"}
        if namespace:
            self._headers["X-Vault-Namespace"] = namespace
        self._pool = (
            TlsPool(server, certificates, server_name=server_name, contexts=contexts)
            if server.scheme == "https"
            else PlainPool(server)
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        data: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        redact: Collection[str] = (),
    ) -> Answer:
        """One request to `/v1/PATH`; `redact` are the strings that no message may repeat, the token among them anyway.

        Raises TransientError or PermanentError if no whole answer arrives; whatever status arrives is an answer.
        """
        request = f"{method} {path} at {self._host}"
        headers = self._headers | _sendable(token)
        pool = self._pool.current()
        try:
            response = pool.urlopen(
                method,
                self._prefix + quote(path) + (f"?{urlencode(query)}" if query else ""),
                body=None if data is None else json.dumps(data, default=str).encode(),
                headers=headers,
                timeout=urllib3.Timeout(total=remaining(self._timeout)),
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            content = self._content(response)
        except (HTTPError, OSError, ValueError) as error:
            raise _translated(error, request) from error
        return _answer(request, response, content, {*redact, token or ""})

    def close(self) -> None:
        """Close what is open."""
        self._pool.close()

    @staticmethod
    def _content(response: urllib3.BaseHTTPResponse) -> bytes:
        try:
            content = bytearray()
            # One read more than the content needs: only a read that finds the end notices that it came too early.
            while len(content) <= BODY_LIMIT and (part := response.read(BODY_LIMIT + 1 - len(content))):
                content += part
            if len(content) <= BODY_LIMIT:
                response.release_conn()
            return bytes(content)
        finally:
            response.close()


def section(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under `name`, {} if there is none."""
    value = body.get(name)
    return value if isinstance(value, Mapping) else {}


def period(body: Mapping[str, Any], name: str) -> timedelta | None:
    """The positive number of seconds under `name`, at most ten years so that it can be added to a date; else None."""
    value = body.get(name)
    return timedelta(seconds=min(value, _LONGEST)) if isinstance(value, int) and value > 0 else None


def _translated(error: Exception, request: str) -> RefresherError:
    """The vendor's exceptions in our words. A certificate that can't be used stays so until somebody changes it."""
    root = _root(error)
    if isinstance(error, NewConnectionError):
        return UnavailableError(f"{request} failed: {_reason(root)}")
    if isinstance(root, ssl.SSLCertVerificationError):
        return PermanentError(f"{request}: the server's certificate is not trusted: {root.verify_message}")
    if isinstance(root, ValueError):
        return PermanentError(f"{request} can't be sent: the namespace or the path holds what HTTP doesn't allow")
    # An answer that isn't HTTP, or breaks off, may be this one's alone.
    is_away = isinstance(root, OSError | urllib3.exceptions.TimeoutError)
    return (UnavailableError if is_away else TransientError)(f"{request} failed: {_reason(root)}")


def _root(error: BaseException) -> BaseException:
    """The exception that the library wrapped, however often."""
    inner = next((each for each in error.args if isinstance(each, BaseException)), None) or error.__cause__
    return error if inner is None else _root(inner)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return "no whole answer in time"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _sendable(token: str | None) -> dict[str, str]:
    """The token's header. Looked at before, because the library's own complaint would show the token."""
    if token is None:
        return {}
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise PermanentError("the token holds characters that a token can't have")
    return {"X-Vault-Token": token}


def _answer(request: str, response: urllib3.BaseHTTPResponse, content: bytes, redact: Collection[str]) -> Answer:
    if 300 <= response.status < 400:
        there = _host(response.headers.get("Location", ""))
        raise TransientError(f"{request} was redirected to {there}, where no token is sent: name that address instead")
    if len(content) > BODY_LIMIT:
        raise PermanentError(f"{request} was answered with more than {BODY_LIMIT} bytes")
    # An answer that breaks off among its headers looks like one without a body: it must not pass for an empty one.
    body = {} if response.status == 204 else _object(content)
    if body is None and response.status < 300:
        raise TransientError(f"{request} was answered {response.status} with something that is not a JSON object")
    if response.status < 300 and not _is_text(content, body):
        raise PermanentError(f"{request} was answered {response.status} with text that is not valid Unicode")
    retry_after = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
    date = server_time(response.headers.get("Date"))
    return Answer(request, response.status, body or {}, retry_after, _complaint(body or {}, redact), date)


def _host(location: str) -> str:
    try:
        return urlsplit(location).netloc.rpartition("@")[2][:_TEXT_LIMIT] or "another path"
    except ValueError:
        return "no valid address"


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _is_text(content: bytes, body: Any) -> bool:
    """Whether the strings in an answer can be written anywhere: JSON's escapes can name halves of characters."""
    if b"\\u" not in content:
        return True
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _complaint(body: Mapping[str, Any], redact: Collection[str]) -> str:
    """The server's `errors` in one line; they can repeat what was sent, so secrets are taken out."""
    errors = body.get("errors")
    text = "; ".join(" ".join(str(each).split()) for each in errors) if isinstance(errors, list) else ""
    for secret in sorted(filter(None, redact), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text[:_TEXT_LIMIT]


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Seconds or a date (RFC 9110, 10.2.3); None for nothing or nonsense, and never over a day."""
    if value is None:
        return None
    try:
        wait = timedelta(seconds=int(value)) if value.strip().isdigit() else parsedate_to_datetime(value) - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait, timedelta(0)), timedelta(days=1))
