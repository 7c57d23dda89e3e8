"""The members of a tar archive, from its first byte to its last.

`tarfile` reads each header block; the way from block to block is ours (docs/decisions/archives.md): a `TarFile` takes a
damaged header for the end, reads a long name of any size into memory, and remembers every member.

1. A block of zeros is the end, and only zeros may follow.
2. Extension headers (pax, GNU) are read, up to `EXTENSION_LIMIT`, and what they say is applied to the next header.
3. A file's content follows, filled up to a whole block.
"""

import itertools
import posixpath
import tarfile
from collections.abc import Generator, Iterator
from tarfile import BLOCKSIZE, NUL, TarInfo

from refresher.archives.archive import Archive
from refresher.archives.members import File, Folder, Link, Member
from refresher.model import MiB

EXTENSION_LIMIT = MiB
"""Bytes of one member's extension headers: a path has 4 KiB at most, an extended attribute 64 KiB."""

_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_PAX = frozenset({tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE})
_EXTENSIONS = frozenset({*_LONG, *_PAX, tarfile.XGLTYPE})
_FILE = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_FOR_ONE_MEMBER = frozenset({"path", "linkpath", "size"})
_SPARSE = "GNU.sparse."


def members(archive: Archive, plain: Iterator[memoryview]) -> Generator[Member, None, None]:
    """Each member in turn; a file's content has to be read before the next one is asked for.

    Raises RejectedError for what is no tar archive, breaks off, or has something after its end.
    """
    stream = _Stream(archive, plain)
    while (header := _next_header(stream)) is not None:
        yield _member(header, stream)
        if header.type in _FILE:
            stream.skip_filling(header.size)
    stream.expect_only_zeros()


class _Stream:
    """The decompressed bytes, once, in order."""

    def __init__(self, archive: Archive, pieces: Iterator[memoryview]) -> None:
        self.archive = archive
        self._pieces, self._left = pieces, memoryview(b"")

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes."""
        while size:
            while not self._left:
                self._left = self._following()
            piece, self._left = self._left[:size], self._left[size:]
            size -= len(piece)
            yield piece

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes at once."""
        return b"".join(bytes(piece) for piece in self.pieces(size))

    def skip_filling(self, size: int) -> None:
        """Go on to the next whole block after `size` bytes."""
        self.exactly(-size % BLOCKSIZE)

    def expect_only_zeros(self) -> None:
        """Read to the end."""
        for piece in itertools.chain([self._left], self._pieces):
            if bytes(piece).strip(NUL):
                raise self.archive.refusal("has something after its end")

    def _following(self) -> memoryview:
        try:
            return next(self._pieces)
        except StopIteration:
            raise self.archive.refusal("breaks off: it has no end mark") from None


def _next_header(stream: _Stream) -> TarInfo | None:
    said: dict[str, str] = {}
    room = EXTENSION_LIMIT
    while (header := _header(stream)) is not None:
        if header.type not in _EXTENSIONS:
            return _told(header, said, stream.archive)
        room -= BLOCKSIZE + header.size
        if room < 0:
            raise stream.archive.refusal(f"has a member with over {EXTENSION_LIMIT} bytes of names and attributes")
        for key, value in _extension(header, stream):
            # Readers differ in which of two they believe, so that a check elsewhere may have seen the other one.
            if key in said:
                raise stream.archive.refusal("gives one member two names or sizes")
            said[key] = value
    if said:
        raise stream.archive.refusal("ends before the file that its last header announces")
    return None


def _header(stream: _Stream) -> TarInfo | None:
    block = stream.exactly(BLOCKSIZE)
    if not block.strip(NUL):
        return None
    try:
        header = TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise stream.archive.refusal(f"is no whole tar file: {error}") from None
    if header.size < 0:
        raise stream.archive.refusal("has a member of negative size")
    return header


def _extension(header: TarInfo, stream: _Stream) -> list[tuple[str, str]]:
    content = stream.exactly(header.size)
    stream.skip_filling(header.size)
    if header.type in _LONG:
        return [(_LONG[header.type], _text(content.rstrip(NUL)))]
    said = list(_records(content, stream.archive))
    if said and header.type not in _PAX:
        raise stream.archive.refusal("gives all its members one name or size")
    return said


def _records(content: bytes, archive: Archive) -> Iterator[tuple[str, str]]:
    """What a pax header says of names and sizes (POSIX.1-2001, `LENGTH KEY=VALUE` and a line end, counted as a whole).

    Not by regular expressions: those of `tarfile` took quadratic time until 2024.
    """
    at = 0
    while at < len(content):
        digits = content[at : at + 8].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = content[at + len(digits) + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n") or at + length > len(content):
            raise archive.refusal("has a damaged pax header")
        if _text(key).startswith(_SPARSE):
            raise archive.refusal("has a sparse file: write it without --sparse")
        if _text(key) in _FOR_ONE_MEMBER:
            yield _text(key), _text(value[:-1])
        at += length


def _told(header: TarInfo, said: dict[str, str], archive: Archive) -> TarInfo:
    header.name = said.get("path", header.name)
    header.linkname = said.get("linkpath", header.linkname)
    size = said.get("size", str(header.size))
    if not (size.isascii() and size.isdigit() and len(size) < 20):
        raise archive.refusal("has a member whose size is no number")
    header.size = int(size)
    return header


def _member(header: TarInfo, stream: _Stream) -> Member:
    if header.type in _FILE:
        if header.name.endswith("/"):
            # GNU tar makes a directory of it, others a file.
            raise stream.archive.refusal("has a file whose name ends as a directory's")
        return File(name=header.name, size=header.size, content=stream.pieces(header.size))
    if header.isdir():
        return Folder(name=header.name)
    if header.islnk():
        return Link(name=header.name, target=header.linkname)
    if header.issym():
        # Relative to where the link stands, unlike a hard link's.
        return Link(name=header.name, target=posixpath.join(posixpath.dirname(header.name), header.linkname))
    raise stream.archive.refusal(f"has a member that is no file, directory or link (type {_text(header.type)!r})")


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
