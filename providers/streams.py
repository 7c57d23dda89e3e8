"""Bodies of HTTP answers as byte streams: counted against what was promised, errors translated."""

import contextlib

import urllib3

from providers.deadline import Into
from refresher.errors import TransientError


class BodyStream:
    """The rest of an answer's body, `length` bytes of it (None: chunked, which says by itself where it ends)."""

    def __init__(self, response: urllib3.BaseHTTPResponse, *, length: int | None, name: str) -> None:
        self._response, self._length, self._name = response, length, name
        self._received = 0

    def readinto(self, buffer: memoryview, /) -> int:
        """What has arrived, at least one byte; 0 at the promised end. TransientError if the body ends before."""
        wanted = buffer if self._length is None else buffer[: self._length - self._received]
        count = self._fill(wanted) if wanted else 0
        self._received += count
        if wanted and not count and self._length is not None:
            raise TransientError(self._broken())
        return count

    def _fill(self, wanted: memoryview) -> int:
        try:
            # read1 and not read: a dripping source has to be seen dripping, not after the whole buffer is full.
            data = self._response.read1(Into(wanted))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(f"{self._broken()}: {type(error).__name__}") from error
        if isinstance(data, bytes):
            wanted[: len(data)] = data
        return len(data)

    def _broken(self) -> str:
        promised = "" if self._length is None else f" of {self._length}"
        return f"{self._name} broke off after {self._received}{promised} bytes"

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else drop it."""
        give_back(self._response)


def give_back(response: urllib3.BaseHTTPResponse) -> None:
    """Return the answer's connection to its pool; one with bytes left on it is closed first."""
    if response.length_remaining == 0:
        # Nothing is left to come, but urllib3 gives the connection back only once it has read that.
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            response.drain_conn()
    response.close()
    response.release_conn()
