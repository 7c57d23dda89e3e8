"""A file's bytes on their way to the disk: past the page cache where its file system lets them, else through it.

Past it costs half the processor time, and a model that is as large as the node's memory pushes nobody's files out.
"""

import errno
import fcntl
import os
from collections.abc import Iterator

BLOCK = 4096
"""Bytes: no disk in use has larger blocks. Where a direct write begins and ends has to be a multiple (open(2))."""
DIRECT = 512 * 1024
"""Bytes of a chunk from which on it is written directly: each such write waits for the disk."""
WINDOW = 8 * 1024 * 1024
"""Bytes after which the disk is made to begin: 2 GiB were durable in 1.3 s so, with one fsync at the end in 1.8."""
FORGOTTEN = 8 * WINDOW
"""How far behind, in bytes, a window has reached every disk that keeps up."""


class Writing:
    """The file open as `fd`, written from its beginning to its end; all raise OSError."""

    def __init__(self, fd: int) -> None:
        self._fd, self._end = fd, 0
        self._is_direct, self._refused = False, False

    def write(self, chunk: memoryview) -> None:
        """The next bytes."""
        self._turn(direct=self._in_blocks(chunk))
        before = self._end
        while chunk:
            count = self._some(chunk)
            self._end, chunk = self._end + count, chunk[count:]
        if not self._is_direct:
            self._write_back(before)

    def begin_the_rest(self) -> None:
        """Have the disk begin with what it hasn't begun: others may follow until all are waited for."""
        if not self._is_direct:
            os.posix_fadvise(self._fd, self._end // WINDOW * WINDOW, 0, os.POSIX_FADV_DONTNEED)

    def written(self) -> Iterator[memoryview]:
        """What the file holds, from its beginning; what comes next is written behind it."""
        self._turn(direct=False)
        buffer, offset = memoryview(bytearray(0)), 0
        while offset < os.fstat(self._fd).st_size:
            buffer = buffer or memoryview(bytearray(WINDOW))
            count = os.preadv(self._fd, [buffer], offset)
            yield buffer[:count]
            os.posix_fadvise(self._fd, offset, count, os.POSIX_FADV_DONTNEED)
            offset += count
        self._end = os.lseek(self._fd, offset, os.SEEK_SET)

    def _in_blocks(self, chunk: memoryview) -> bool:
        return not self._refused and len(chunk) >= DIRECT and not len(chunk) % BLOCK and not self._end % BLOCK

    def _turn(self, *, direct: bool) -> None:
        if direct == self._is_direct:
            return
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags | os.O_DIRECT if direct else flags)
            self._is_direct = direct
        except OSError as error:
            self._learn(error)

    def _some(self, chunk: memoryview) -> int:
        try:
            return os.write(self._fd, chunk)
        except OSError as error:
            if not self._is_direct:
                raise
            self._learn(error)
        self._turn(direct=False)
        return os.write(self._fd, chunk)

    def _learn(self, error: OSError) -> None:
        """A file system without direct writes says so at the flag or at the first write; so does memory off a block."""
        if error.errno != errno.EINVAL:
            raise error
        self._refused = True

    def _write_back(self, before: int) -> None:
        """Have the disk begin with each window, and forget it once it's there.

        For Linux, not to need pages that are dirty is a reason to begin writing them.
        """
        start = self._end // WINDOW * WINDOW
        if before < start:
            for window in (start - WINDOW, start - FORGOTTEN):
                if window >= 0:
                    os.posix_fadvise(self._fd, window, WINDOW, os.POSIX_FADV_DONTNEED)
