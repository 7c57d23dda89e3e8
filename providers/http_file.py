"""The file that an HTTP answer describes: read from its beginning, on from where it broke, or in parts side by side."""

import threading
from collections.abc import Callable, Mapping

import urllib3

from providers.answers import Part, accepts_ranges, body_length, is_strong, part_of, revision_of, strong_etag
from providers.digests import Sha512Check, digests_of, of_the_whole
from providers.streams import BodyStream, give_back
from refresher.contract import ByteStream
from refresher.errors import RefresherError, StartOverError

Answer = urllib3.BaseHTTPResponse
Ask = Callable[[Mapping[str, str]], Answer]
"""A request for the file with these headers more: an answer 200 or 206 whose body hasn't been read."""


class HttpFile:
    """The `RemoteFile` that an answer describes; its body is the first stream, if that starts at the beginning.

    All others are pinned to the first answer's revision. Any thread may open it. `ignores_ranges`: the server was asked
    for a part, and gave something else, whatever it says.
    """

    sensitive = False

    def __init__(self, name: str, response: Answer, ask: Ask, *, ignores_ranges: bool) -> None:
        self.name = name
        self.size = body_length(response)
        self.answered = revision_of(response.headers)
        self.revision = strong_etag(response.headers)
        self._digests = of_the_whole(response.headers, name)
        self.ignores_ranges = ignores_ranges
        self._accepts_ranges = accepts_ranges(response.headers)
        self._ask, self._lock, self._torn = ask, threading.Lock(), False
        self._unread: Answer | None = response

    @property
    def digest(self) -> str | None:
        """`sha256:…` if the server sent it for the whole file."""
        found = self._digests.get("sha-256")
        return f"sha256:{found.hex()}" if found else None

    def check(self) -> Sha512Check | None:
        """For a server that sends SHA-512 alone; one digest is enough."""
        found = self._digests.get("sha-512")
        return Sha512Check(found, self.name) if found and not self.digest else None

    @property
    def ranged(self) -> bool:
        """Whether the server says so, and its ETag holds the parts together."""
        able = self._accepts_ranges and not self.ignores_ranges and not self._torn
        return able and bool(self.revision) and self.size is not None

    def open(self, offset: int = 0) -> ByteStream:
        """The content from `offset` on. TransientError if it isn't the revision any more that the first answer had."""
        response = self._first(wanted=not offset)
        if response is not None:
            return BodyStream(response, length=self.size, name=self.name)
        if not offset:
            return self._opened({}, body_length)
        if not is_strong(self.answered):
            raise StartOverError(f"{self.name} can't be read on from the middle: the server has no strong ETag for it")
        return self._part(offset, None if self.size is None else self.size - 1)

    def open_range(self, offset: int, size: int) -> ByteStream:
        """Exactly `size` bytes from `offset` on; as `open`. Once that can't be had, the file isn't `ranged` any more.

        A part from the beginning is the first answer's, which is given up where the part ends.
        """
        response = self._first(wanted=not offset)
        if response is not None:
            return BodyStream(response, length=size, name=self.name)
        return self._part(offset, offset + size - 1)

    def close(self) -> None:
        """Give the first answer back if nobody has opened it."""
        self._first(wanted=False)

    def _first(self, *, wanted: bool) -> Answer | None:
        """The first answer, if nobody has taken it; given back unless it's wanted."""
        with self._lock:
            response, self._unread = self._unread, None
        if response is not None and not wanted:
            give_back(response)
        return response if wanted else None

    def _part(self, first: int, last: int | None) -> ByteStream:
        headers = {"Range": f"bytes={first}-{'' if last is None else last}", "If-Range": self.answered}
        return self._opened(headers, lambda response: self._length_of_part(response, first, last))

    def _opened(self, headers: Mapping[str, str], length: Callable[[Answer], int | None]) -> ByteStream:
        response = self._ask(headers)
        try:
            self._require_same(response)
            return BodyStream(response, length=length(response), name=self.name)
        except RefresherError:
            give_back(response)
            raise

    def _require_same(self, response: Answer) -> None:
        digests = digests_of(response.headers.get("Repr-Digest", ""))
        other = any(digests[each] != self._digests[each] for each in digests.keys() & self._digests.keys())
        if other or revision_of(response.headers) != self.answered:
            # Or several servers with ETags of their own stand behind one name: then one connection may still get it.
            self._torn = True
            raise StartOverError(f"{self.name} changed while it was fetched")

    def _length_of_part(self, response: Answer, first: int, last: int | None) -> int:
        found = part_of(response)
        if (
            found is None
            or not self._is_wanted(found, first, last)
            or body_length(response) not in (None, found.length)
        ):
            self.ignores_ranges = True
            raise StartOverError(f"{self.name} can't be read on from byte {first}: the server answers something else")
        return found.length

    def _is_wanted(self, found: Part, first: int, last: int | None) -> bool:
        of_this = found.total is None or self.size is None or found.total == self.size
        return of_this and found.first == first and (last is None or found.last == last)
