"""Waiting at an HTTP server until it has something else.

By a long poll: a conditional request with `Prefer: wait=N` (RFC 7240, 4.3), which the server holds back until there is
something else, and answers with 304 if there wasn't within N seconds. By Consul's blocking queries where answers carry
an `X-Consul-Index`: the request with the last index is held back until there is a higher one. The answer's body is left
unread: what is there is fetched as ever.
"""

import random
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

import urllib3

from providers.answers import condition, revision_of
from providers.lifeline import Lifeline
from providers.streams import give_back

SPREAD = 0.2
"""Of the wait, that is left off at random: pods that began together needn't come back together."""
LATER = 1 / 16
"""Of the wait, that Consul adds at random."""
GRACE = 15.0
"""Seconds that an answer may be late."""
_INDEX = re.compile(r"[0-9]{1,20}")


class Asker(Protocol):
    """What a server is asked through."""

    def ask(self, headers: Mapping[str, str], *, query: str = "") -> urllib3.BaseHTTPResponse:
        """As `HttpProvider.ask`."""
        ...

    def close(self) -> None:
        """Close all idle connections."""
        ...


def patience(wait: timedelta) -> urllib3.Timeout:
    """Time limits for an answer that may be held back for so long."""
    return urllib3.Timeout(connect=5.0, read=wait.total_seconds() * (1 + LATER) + GRACE)


class HttpFollow:
    """Waits for another revision than the one that it was told, or that it last saw."""

    def __init__(self, asker: Asker, revision: str, *, longest: timedelta, lifeline: Lifeline) -> None:
        self._asker, self._revision, self._index = asker, revision, 0
        self._longest, self._lifeline = longest.total_seconds(), lifeline

    def wait(self) -> bool:
        """See `Follow`. An answer without ETag, Last-Modified or index can't tell, and is taken for news."""
        seconds = round(self._longest * random.uniform(1 - SPREAD, 1))  # noqa: S311 - nobody gains by guessing it
        query = f"index={self._index}&wait={seconds}s" if self._index else ""
        response = self._asker.ask({"Prefer": f"wait={seconds}", **condition(self._revision)}, query=query)
        try:
            index = response.headers.get("X-Consul-Index", "")
            return self._is_news(response) if not _INDEX.fullmatch(index) else self._has_moved(int(index))
        finally:
            give_back(response)

    def close(self) -> None:
        """Close the connection, whoever waits at it."""
        self._lifeline.cut()
        self._asker.close()

    def _is_news(self, response: urllib3.BaseHTTPResponse) -> bool:
        revision = revision_of(response.headers)
        if response.status == 304 or (revision and revision == self._revision):
            return False
        self._revision = revision
        return True

    def _has_moved(self, index: int) -> bool:
        """An index that goes back begins anew, or changes would be missed until it is as high again."""
        before, self._index = self._index, index if index >= self._index else 0
        return index != before
