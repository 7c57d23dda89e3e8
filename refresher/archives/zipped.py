"""The members of a zip archive.

Its directory is at its end, and what stands before is only true if that says so. So the archive is laid down first, in
a file of the volume that has no name any more when its first byte is written: a crash leaves nothing behind.
"""

import os
import posixpath
import stat
import struct
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import cast
from zipfile import ZipExtFile, ZipFile, ZipInfo

from refresher.archives.archive import PIECE, Archive
from refresher.archives.members import File, Folder, Link, Member
from refresher.filenames import PATH_BYTES
from refresher.model import MiB
from refresher.volume import Directory, explained, temporary_name
from refresher.writing import Writing

DIRECTORY_ENTRY = 512
"""Bytes of the zip's directory per file that `limits.files` allows; 46, the name, and some thirty for times and ids."""
LOCAL_HEADER = 30
"""Bytes before a member's name and content, at least (APPNOTE 4.3.7)."""

_SIGNATURE = b"PK\x01\x02"
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_FILE_KINDS = frozenset({0, stat.S_IFREG})


def members(archive: Archive, into: Directory) -> Generator[Member, None, None]:
    """Each member in turn, in the order of their bytes; a file's content has to be read before the next one.

    Raises RejectedError for what is no zip archive, or uses a byte twice; TransientError or PermanentError if the disk
    fails.
    """
    with _laid_down(archive, into) as file, _opened(archive, _Spool(file, archive, into.path)) as opened:
        entries = sorted(opened.infolist(), key=lambda entry: entry.header_offset)
        _refuse_overlaps(entries, archive)
        for entry in entries:
            yield _member(entry, opened, archive)


@contextmanager
def _laid_down(archive: Archive, into: Directory) -> Iterator[FileIO]:
    with ExitStack() as opened:
        with explained(into.path):
            spool, reading = (opened.enter_context(file) for file in _nameless(into))
            writing = Writing(spool.fileno())
        for chunk in archive.chunks():
            with explained(into.path):
                writing.write(chunk)
        yield reading


def _nameless(into: Directory) -> tuple[FileIO, FileIO]:
    name = temporary_name()
    writing = FileIO(into.create(name), "wb")
    try:
        return writing, into.open(name)
    finally:
        into.remove(name)


@contextmanager
def _opened(archive: Archive, spool: "_Spool") -> Iterator[ZipFile]:
    with _understood(archive):
        opened = ZipFile(spool)
    spool.most_entries = None
    with opened:
        yield opened


class _Spool:
    """The file for `zipfile`, which reads the whole directory at once, whatever its size, and makes objects of it.

    `most_entries` is how many entries of a directory one read may hold; None once the directory has been read.
    """

    def __init__(self, file: FileIO, archive: Archive, where: Path) -> None:
        self.tell, self.seekable, self.close = file.tell, file.seekable, file.close
        self.most_entries: int | None = archive.limits.files
        self._file, self._archive, self._where = file, archive, where

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go there. Raises RejectedError for a place before the beginning; OSError if it is counted from the end."""
        if whence == os.SEEK_SET and offset < 0:
            raise self._archive.refusal("is no whole zip file: it leads before its beginning")
        return self._file.seek(offset, whence)

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, or all there are."""
        left = max(0, self._archive.received - self._file.tell())
        size = left if size < 0 else min(size, left)
        if size > MiB + self._archive.limits.files * DIRECTORY_ENTRY:
            raise self._archive.refusal("has a directory that is far too long for limits.files")
        with explained(self._where):
            content = self._file.read(size)
        if self.most_entries is not None and content.count(_SIGNATURE) > self.most_entries:
            raise self._archive.refusal(f"holds more than limits.files ({self.most_entries})")
        return content


def _refuse_overlaps(entries: list[ZipInfo], archive: Archive) -> None:
    # Else a small file unpacks without end: a thousand entries that share the same compressed bytes.
    end = 0
    for entry in entries:
        if entry.header_offset < end:
            raise archive.refusal("has members that overlap")
        end = entry.header_offset + LOCAL_HEADER + entry.compress_size
    if end > archive.received:
        raise archive.refusal("has a member that is longer than the archive")


def _member(entry: ZipInfo, opened: ZipFile, archive: Archive) -> Member:
    # Not `filename`, which ends at the first NUL.
    name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    if name.endswith("/"):
        return Folder(name=name)
    _refuse_unreadable(entry, archive)
    if kind == stat.S_IFLNK:
        return Link(name=name, target=posixpath.join(posixpath.dirname(name), _target(entry, opened, archive)))
    if kind not in _FILE_KINDS:
        raise archive.refusal(f"has a member that is no file, directory or link (mode {kind:o})")
    return File(name=name, size=entry.file_size, content=_content(entry, opened, archive))


def _refuse_unreadable(entry: ZipInfo, archive: Archive) -> None:
    if entry.flag_bits & _ENCRYPTED:
        raise archive.refusal("is encrypted")
    if entry.compress_type not in _METHODS:
        raise archive.refusal(f"has a member compressed by method {entry.compress_type}: only deflate is read")


def _target(entry: ZipInfo, opened: ZipFile, archive: Archive) -> str:
    if entry.file_size > PATH_BYTES:
        raise archive.refusal("has a link whose target is too long")
    return b"".join(bytes(piece) for piece in _content(entry, opened, archive)).decode("utf-8", "surrogateescape")


def _content(entry: ZipInfo, opened: ZipFile, archive: Archive) -> Iterator[memoryview]:
    with _understood(archive):
        reading = cast("ZipExtFile", opened.open(entry))
    with reading:
        while True:
            with _understood(archive):
                piece = reading.read1(PIECE)
            if not piece:
                return
            archive.count(len(piece))
            yield memoryview(piece)


@contextmanager
def _understood(archive: Archive) -> Iterator[None]:
    """Everything that `zipfile` raises for a damaged archive. What the disk raises (OSError) goes on."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error) as error:
        raise archive.refusal(f"is no whole zip file: {error}") from None
    except (EOFError, NotImplementedError, ValueError, OverflowError, struct.error) as error:
        raise archive.refusal(f"is no whole zip file ({type(error).__name__})") from None
