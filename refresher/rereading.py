"""A published file read once more, without pushing anybody's pages out of the page cache, nor the app's own."""

import contextlib
import os
from collections.abc import Iterator

PIECE = 1024 * 1024
"""Bytes at once."""


def pieces(fd: int) -> Iterator[memoryview]:
    """The file's content in order, each piece valid until the next one. Raises OSError."""
    size = os.fstat(fd).st_size
    # What the kernel reads ahead would look like what somebody uses.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    buffer, offset = memoryview(bytearray(min(size, PIECE) or 1)), 0
    while count := _read(fd, buffer, offset):
        yield buffer[:count]
        offset += count


def _read(fd: int, buffer: memoryview, offset: int) -> int:
    """What is in the page cache stays there, somebody uses it; what isn't is forgotten again."""
    with contextlib.suppress(OSError):  # not there, or a file system that doesn't say
        if count := os.preadv(fd, [buffer], offset, os.RWF_NOWAIT):
            return count
    count = os.preadv(fd, [buffer], offset)
    os.posix_fadvise(fd, offset, count, os.POSIX_FADV_DONTNEED)
    return count
