"""Files that hold a Python pickle: a program that runs when the file is loaded.

What is loaded as a pickle whatever is in it is one by its name. Of everything else the content is looked at: the
archives of PyTorch and NumPy, compressed pickles, arrays of objects, and files that a pickle's interpreter could run
from their first byte to an instruction that imports code. Not looked into: tar archives, archives inside of archives,
and programs of other kinds (Python files, Keras's Lambda layers, graphs).
"""

import bz2
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from refresher.verifiers.model.opcodes import can_import

ENDINGS = frozenset({".ckpt", ".dill", ".joblib", ".mar", ".nemo", ".pickle", ".pkl", ".pt", ".pth"})
"""Of files that PyTorch, joblib, TorchServe and NeMo load as pickles, or unpack and load."""

GUESSED = frozenset({".bin"})
"""Of files that PyTorch loads as pickles and others as something else: looked at as if they began like a pickle."""

PROTOCOLS = tuple(b"\x80" + bytes([number]) for number in range(6))
"""How pickles of protocol 2 to 5 begin; those of 0 and 1 may begin so, and in any other way."""

ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
ARRAY = b"\x93NUMPY"

DIRECTORY_LIMIT = 4 * 1024 * 1024
"""Bytes of an archive's table of contents; PyTorch's for ten thousand tensors has one million."""

ARRAY_HEADER_LIMIT = 65_536
"""Bytes; NumPy itself reads 10 000."""

BLOCK = 1024 * 1024
"""Bytes that may be needed until something compressed gives its first; bzip2 has blocks of 900 000."""

_DICTIONARY_LIMIT = 96 * 1024 * 1024
_START = 512

_DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    **dict.fromkeys((b"\x78", b"\x1f\x8b"), lambda: zlib.decompressobj(wbits=47)),
    b"BZh": bz2.BZ2Decompressor,
    **dict.fromkeys((b"\xfd7zXZ", b"\x5d\x00\x00"), lambda: lzma.LZMADecompressor(memlimit=_DICTIONARY_LIMIT)),
}


def holds_pickle(file: BinaryIO, name: str) -> bool:
    """Whether the file is a pickle, or nobody can say that it isn't."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in ENDINGS:
        return True
    start = file.read(_START)
    if start.startswith(ARCHIVES):
        return _archive_holds(file)
    if start.startswith(ARRAY):
        return _holds_objects(start + file.read(ARRAY_HEADER_LIMIT))
    if _decompressed(start, file).startswith(PROTOCOLS):
        return True
    if not start.startswith(PROTOCOLS) and ending not in GUESSED:
        return False
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return can_import(file, size=size)


def _holds_objects(start: bytes) -> bool:
    """Whether an array's header could name Python's objects as its type, in any spelling that NumPy takes."""
    width = 2 if start[len(ARRAY) : len(ARRAY) + 1] == b"\x01" else 4
    begin = len(ARRAY) + 2 + width
    length = int.from_bytes(start[begin - width : begin], "little")
    header = start[begin : begin + length]
    return length > ARRAY_HEADER_LIMIT or any(mark in header for mark in (b"O", b"object", b"\\"))


def _decompressed(start: bytes, file: BinaryIO) -> bytes:
    """The first bytes of what is compressed, a pickle's if nobody can say; none if it isn't compressed."""
    opened = next((each() for magic, each in _DECOMPRESSORS.items() if start.startswith(magic)), None)
    if opened is None:
        return b""
    block = file.read(BLOCK)
    try:
        plain: bytes = opened.decompress(start + block, _START)
    except lzma.LZMAError as error:
        return PROTOCOLS[0] if "limit" in str(error) else b""
    except (zlib.error, OSError):
        return b""
    # A megabyte that gives nothing yet is made to.
    return plain or (PROTOCOLS[0] if len(block) == BLOCK and not opened.eof else b"")


def _archive_holds(file: BinaryIO) -> bool:
    bounded = _Bounded(file)
    try:
        with zipfile.ZipFile(bounded) as archive:
            return any(_member_holds(archive, member) for member in archive.infolist())
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError):
        pass
    except (EOFError, MemoryError, NotImplementedError, RuntimeError, ValueError):
        pass
    if bounded.failure:
        raise bounded.failure
    return True


def _member_holds(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if PurePosixPath(member.filename).suffix.lower() in ENDINGS:
        return True
    with archive.open(member) as opened:
        start = opened.read(_START)
        if start.startswith(ARRAY):
            return _holds_objects(start + opened.read(ARRAY_HEADER_LIMIT))
        return start.startswith((*PROTOCOLS, *ARCHIVES))


class _Bounded(io.RawIOBase):
    """The file, of which nobody gets much at once: an archive says itself how long its table of contents is.

    `failure` is the disk's, which zipfile would call a bad archive.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_SET and offset < 0:
            raise zipfile.BadZipFile("a part before the file's beginning")
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if size > DIRECTORY_LIMIT:
            raise zipfile.BadZipFile("a table of contents that is too long")
        try:
            return self._file.read(DIRECTORY_LIMIT if size < 0 else size)
        except OSError as error:
            self.failure = error
            raise
