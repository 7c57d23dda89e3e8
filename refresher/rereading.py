"""A published file read once more, without pushing anybody's pages out of the page cache, nor the app's own."""

import contextlib
import os
from collections.abc import Iterator
from mmap import PAGESIZE

PIECE = 1024 * 1024
"""Bytes at once."""
STRIDE = 16
"""Pages. To look at each would double the processor time of a start."""
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
"""Read what is in the page cache, and nothing else. A Python that was built for an older libc doesn't have it."""


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
    if count := _cached(fd, buffer, offset):
        return count
    count = os.preadv(fd, [buffer[: _gap(fd, offset, len(buffer))]], offset)
    os.posix_fadvise(fd, offset, count, os.POSIX_FADV_DONTNEED)
    return count


def _cached(fd: int, buffer: memoryview, offset: int) -> int:
    """What of it could be read from the page cache, from the offset on; 0: nothing, or nobody can say."""
    if _NOWAIT is not None:
        with contextlib.suppress(OSError, NotImplementedError):
            return os.preadv(fd, [buffer], offset, _NOWAIT)
    return 0


def _gap(fd: int, offset: int, most: int) -> int:
    """Bytes until a page that is in the cache: one in `STRIDE` is looked at, for who uses one uses its neighbours."""
    probe = memoryview(bytearray(1))
    pages = range(offset - offset % PAGESIZE + PAGESIZE, offset + most, STRIDE * PAGESIZE)
    return next((at - offset for at in pages if _cached(fd, probe, at)), most)
