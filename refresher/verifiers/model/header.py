"""Reading a header forward, in a file of which nobody knows yet whether it is sensible.

A header says how long its parts are, and may lie: nothing is read that would lie beyond the file's end, nothing is read
whole that could be large, and a header of very many parts is refused.
"""

import os
from typing import BinaryIO, Literal

from refresher.errors import RejectedError

PARTS_LIMIT = 8_000_000
"""Reads and skips in one header, each of half a microsecond; a large vocabulary with its merges takes two million."""

READ_LIMIT = 32 * 1024 * 1024
"""Bytes that are read of one header, and may all be kept: names, of which many short ones or some long ones fit."""

TENSORS_LIMIT = 131_072
"""In one file; one of the largest models has 91 000 in all of its files together."""

Order = Literal["little", "big"]
"""Which byte of a number comes first."""


class Header:
    """The file's beginning up to `position`; each refusal names the file."""

    def __init__(self, file: BinaryIO, name: str, *, size: int, parts: int = PARTS_LIMIT) -> None:
        self._file, self.name, self.size = file, name, size
        self.position = 0
        self._parts, self._room = parts, READ_LIMIT

    def take(self, count: int) -> bytes:
        """The next `count` bytes, which may be kept in memory."""
        self._advance(count)
        self._room -= count
        if self._room < 0:
            raise self.wrong(f"has a header of which more than {READ_LIMIT} bytes would have to be read")
        taken = self._file.read(count)
        if len(taken) != count:
            raise self.wrong(f"ends after {self.position - count + len(taken)} of its {self.size} bytes")
        return taken

    def skip(self, count: int) -> None:
        """Pass over `count` bytes without reading them."""
        self._advance(count)
        self._file.seek(count, os.SEEK_CUR)

    def _advance(self, count: int) -> None:
        self._parts -= 1
        if self._parts < 0:
            raise self.wrong("has a header of too many parts")
        if count > self.size - self.position:
            raise self.cut_short(self.position + count)
        self.position += count

    def integer(self, size: int, *, order: Order) -> int:
        """The next `size` bytes as a number without sign."""
        return int.from_bytes(self.take(size), order)

    def wrong(self, what: str) -> RejectedError:
        """A refusal to raise: the file's name and what is wrong with it."""
        return RejectedError(f"{self.name} {what}")

    def cut_short(self, wanted: int) -> RejectedError:
        """A refusal to raise: the file has fewer bytes than its header asks for."""
        return self.wrong(f"is cut short: by its header it has at least {wanted} bytes, and there are {self.size}")

    def refuse_other_size(self, wanted: int, *, padded: int | None = None) -> None:
        """Raises RejectedError unless the file has `wanted` bytes, or up to `padded`."""
        if self.size < wanted:
            raise self.cut_short(wanted)
        if self.size > (padded or wanted):
            raise self.wrong(f"has bytes after its end: by its header it has {wanted} bytes, and there are {self.size}")
