"""gzip and Zstandard, decompressed as they arrive.

Both formats may consist of several frames (pigz, `cat a.gz b.gz`, `zstd -T0`), with zeros after the last one, as tapes
and block devices leave them. Anything else that follows is refused: nobody could say whose it is.
"""

import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from refresher.archives.archive import PIECE, Archive

INPUT = 64 * 1024
"""Bytes given to a decompressor at a time; what it leaves is copied, so that this stays small."""
WINDOW_LOG = 27
"""The logarithm of the largest window: 128 MiB, as `zstd --long` makes and `zstd -d` accepts without an option. It is
memory that the sender chooses; the usual levels of zstd ask for 8 MiB at most.
"""
_WITH_GZIP_HEADER = 16 + zlib.MAX_WBITS


def gzip(archive: Archive) -> Iterator[memoryview]:
    """What the archive's gzip members hold. Raises RejectedError for anything else, as do its checksums."""
    try:
        yield from _decompressed(archive, _Gzip)
    except _DamagedError as error:
        raise archive.refusal(f"is no whole gzip file: {error}") from None


def zstd(archive: Archive) -> Iterator[memoryview]:
    """What the archive's Zstandard frames hold. Raises RejectedError for anything else, as do its checksums."""
    try:
        yield from _decompressed(archive, _Zstd)
    except _DamagedError as error:
        raise archive.refusal(f"is no whole Zstandard file with a window of at most 128 MiB: {error}") from None


class _DamagedError(Exception):
    """The data isn't of its format."""


class _Frame(ABC):
    """One frame on its way through a library's decompressor, and the errors that this raises for damage."""

    _damage: type[Exception]

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    @abstractmethod
    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What comes out for this input, at most `PIECE` bytes at a time."""

    def _decompressed(self, data: bytes) -> bytes:
        try:
            return bytes(self._inner.decompress(data, PIECE))
        except self._damage as error:
            raise _DamagedError(str(error)) from None


class _Gzip(_Frame):
    _damage = zlib.error

    def __init__(self) -> None:
        super().__init__(zlib.decompressobj(_WITH_GZIP_HEADER))

    def pieces(self, data: bytes) -> Iterator[bytes]:
        full = True
        # A full piece may have more behind it, though no input is left.
        while (data or full) and not self.eof:
            piece = self._decompressed(data)
            full, data = len(piece) == PIECE, self._inner.unconsumed_tail
            yield piece


class _Zstd(_Frame):
    def __init__(self) -> None:
        # Imported when the first such archive comes: nobody else needs it.
        if sys.version_info >= (3, 14):
            from compression import zstd as library
        else:
            from backports import zstd as library
        self._damage = library.ZstdError
        super().__init__(library.ZstdDecompressor(options={library.DecompressionParameter.window_log_max: WINDOW_LOG}))

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield self._decompressed(data)
        while not self._inner.needs_input and not self.eof:
            yield self._decompressed(b"")


def _decompressed(archive: Archive, begin: Callable[[], _Frame]) -> Iterator[memoryview]:
    frame = begin()
    for data in _inputs(archive):
        while data:
            if frame.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                frame = begin()
            for piece in frame.pieces(data):
                archive.count(len(piece))
                yield memoryview(piece)
            data = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise _DamagedError("it breaks off")


def _inputs(archive: Archive) -> Iterator[bytes]:
    for chunk in archive.chunks():
        for start in range(0, len(chunk), INPUT):
            yield bytes(chunk[start : start + INPUT])
