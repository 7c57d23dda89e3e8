"""What an HTTP answer says: its revision, its length, what its status means."""

import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import urllib3

from refresher.errors import PermanentError, RefresherError, RejectedError, TransientError

AGAIN_SOON = frozenset({408, 416, 425, 429})
"""Client errors that are about the moment (RFC 9110, 8470, 6585); 416: the file is shorter than it was."""
_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")


def shown(url: str) -> str:
    """The URL for messages: without its query, which may hold a signature."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


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
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and not name.lower().endswith((".html", ".htm")):
        raise RejectedError(f"{url} answers an HTML page for {name}, probably a login or error page")
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise RejectedError(f"{url} answers with the content encoding {encoding[:20]!r}, which was not asked for")


def status_error(response: urllib3.BaseHTTPResponse, url: str) -> RefresherError:
    """What a status other than success means for the next attempt."""
    message = f"{url} answers {response.status}"
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
