"""What an HTTP answer says: its revision, its length, what its status means."""

import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import urllib3

from refresher.errors import PermanentError, RefresherError, RejectedError, TransientError

PROXY_LOGIN = 407
"""A proxy's answer that it wants a login, which no server gives (RFC 9110, 15.5.8)."""
AGAIN_SOON = frozenset({408, 416, 425, 429})
"""Client errors that are about the moment (RFC 9110, 8470, 6585); 416: the file is shorter than it was."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", re.IGNORECASE)
_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


def shown(url: str) -> str:
    """The URL for messages: without its query, which may hold a signature."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def extended(url: str, query: str) -> str:
    """The URL with more of a query behind its own; as it is, if there is no more."""
    parts = urlsplit(url)
    return parts._replace(query=f"{parts.query}&{query}" if parts.query else query).geturl() if query else url


def revision_of(headers: Mapping[str, str]) -> str:
    """The ETag, else a Last-Modified at least a second older than the answer (RFC 9110, 8.8.2.2), else empty."""
    if etag := headers.get("ETag", "").strip():
        return etag
    modified, date = headers.get("Last-Modified", ""), headers.get("Date", "")
    if not (_DATE.fullmatch(modified) and _DATE.fullmatch(date)):
        return ""
    settled = _between(modified, date)
    return modified if settled is not None and settled >= timedelta(seconds=1) else ""


def is_strong(revision: str) -> bool:
    """Whether equal revisions mean equal bytes, so that reading may go on where it broke."""
    return bool(revision) and not revision.startswith("W/")


def strong_etag(headers: Mapping[str, str]) -> str:
    """The ETag if it is a strong one, which the same bytes have and no others (RFC 9110, 8.8.3), else empty."""
    etag = headers.get("ETag", "").strip()
    return etag if re.fullmatch(r'"[^"]*"', etag) else ""


def accepts_ranges(headers: Mapping[str, str]) -> bool:
    """Whether the server says that it sends parts (RFC 9110, 14.3)."""
    units = headers.get("Accept-Ranges", "").lower().split(",")
    return "bytes" in (unit.strip() for unit in units)


class Part(NamedTuple):
    """Bytes `first` to `last` of `total` (None: the server doesn't know)."""

    first: int
    last: int
    total: int | None

    @property
    def length(self) -> int:
        """Bytes in the part."""
        return self.last - self.first + 1


def content_range(value: str) -> Part | None:
    """A Content-Range (RFC 9110, 14.4); None if it is not one."""
    found = _CONTENT_RANGE.fullmatch(value.strip())
    if found is None or int(found[1]) > int(found[2]):
        return None
    return Part(int(found[1]), int(found[2]), int(found[3]) if found[3] != "*" else None)


def part_of(response: urllib3.BaseHTTPResponse) -> Part | None:
    """The part that a 206 holds; None for any other answer, several parts in one among them."""
    several = media_type(response) == "multipart/byteranges"
    return content_range(response.headers.get("Content-Range", "")) if response.status == 206 and not several else None


def media_type(response: urllib3.BaseHTTPResponse) -> str:
    """The Content-Type, without its parameters."""
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def condition(revision: str) -> dict[str, str]:
    """The header that asks for something else than `revision`; none if nobody knows it."""
    if not revision:
        return {}
    return {"If-Modified-Since" if _DATE.fullmatch(revision) else "If-None-Match": revision}


def body_length(response: urllib3.BaseHTTPResponse) -> int | None:
    """Bytes that the body promises, None if chunked. Raises RejectedError for a body that ends anywhere."""
    length = response.headers.get("Content-Length", "")
    if response.headers.get("Transfer-Encoding", "").lower() == "chunked":
        return None
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise RejectedError("the answer has neither a length nor chunks: nobody could tell whether it came whole")
    return int(length)


def refuse_content(response: urllib3.BaseHTTPResponse, name: str, url: str) -> None:
    """RejectedError for an HTML page where a file was expected, and for an encoded body."""
    if media_type(response) == "text/html" and not name.lower().endswith((".html", ".htm")):
        raise RejectedError(f"{url} answers an HTML page for {name}, probably a login or error page")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise RejectedError(
            f"{url} answers with the content encoding {encoding[:20]!r}, which was not asked for: length, digest and "
            "parts would be those of the encoded form; have the file stored there without it, or the server not encode"
        )


def status_error(response: urllib3.BaseHTTPResponse, url: str) -> RefresherError:
    """What a status other than success means for the next attempt."""
    who = f"the proxy to {url}" if response.status == PROXY_LOGIN else url
    message = f"{who} answers {response.status}"
    if response.status in AGAIN_SOON or response.status >= 500:
        return TransientError(message, retry_after=retry_after(response.headers))
    return PermanentError(message)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Retry-After (RFC 9110, 10.2.3) as a duration; a date counts from the answer's own Date."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return timedelta(seconds=int(value))
    wait = _between(headers.get("Date", ""), value)
    return None if wait is None else max(wait, timedelta(0))


def _between(earlier: str, later: str) -> timedelta | None:
    try:
        return parsedate_to_datetime(later) - parsedate_to_datetime(earlier)
    except (ValueError, TypeError, OverflowError):
        return None
