"""One connection's part of a file: read into buffers, over as many streams as it takes."""

from time import perf_counter
from types import TracebackType
from typing import Self

from refresher.abilities import Ranged
from refresher.contract import ByteStream, RemoteFile
from refresher.errors import StartOverError, TransientError
from refresher.transfer.pace import Pace
from refresher.transfer.terms import Terms

BREAKS = 3
"""How often in a row a stream may break without a byte of progress before the fetch is given up."""


class Reading:
    """A remote file from `offset` on; a context manager that closes the stream.

    A stream that breaks is opened anew where it stopped, unless the source is down (`started`: whether it gave bytes
    before) or wants us to wait.
    """

    def __init__(self, file: RemoteFile, *, offset: int, terms: Terms, pace: Pace, started: bool = False) -> None:
        self.offset, self.pace = offset, pace
        self._file, self._terms = file, terms
        self._started, self._moved, self._breaks = started, False, 0
        self._stream: ByteStream | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def fill(self, buffer: memoryview) -> int:
        """Fill the buffer; fewer bytes only at the end. Raises what the streams raise, TransientError for slow ones."""
        filled = 0
        while filled < len(buffer) and (count := self._some(buffer[filled:])):
            filled += count
        return filled

    def _some(self, buffer: memoryview) -> int:
        """At least one byte, but none at the end."""
        # What a broken stream kept us waiting counts, too: else one byte before each break could go on for ever.
        began = perf_counter()
        while True:
            try:
                count = self._read(buffer)
            except StartOverError:
                raise
            except TransientError as error:
                self._close()
                # A stream that moved on may break as often as it likes.
                self._breaks, self._moved = 0 if self._moved else self._breaks + 1, False
                if not self._started or self._breaks == BREAKS or error.retry_after is not None:
                    raise
                continue
            self.pace.count(count, perf_counter() - began)
            self._terms.count(count)
            self.offset += count
            self._started = self._moved = True
            return count

    def _read(self, buffer: memoryview) -> int:
        self._stream = self._stream or self._opened(self.offset)
        return self._stream.readinto(buffer)

    def _opened(self, offset: int) -> ByteStream:
        return self._file.open(offset)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class RangeReading(Reading):
    """`size` bytes of a file from `offset` on."""

    def __init__(self, file: RemoteFile, *, offset: int, size: int, terms: Terms, pace: Pace) -> None:
        super().__init__(file, offset=offset, terms=terms, pace=pace, started=True)
        self._end = offset + size

    def _opened(self, offset: int) -> ByteStream:
        if not isinstance(self._file, Ranged):
            raise TypeError("this file has no ranges")
        return self._file.open_range(offset, self._end - offset)
