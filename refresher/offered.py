"""What a source offers, as one asset takes it: whole or unpacked, under which revision, and how much of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from refresher.archives import is_archive
from refresher.contract import ByteStream, Fetched, FileSet, InlineFile, RemoteFile
from refresher.errors import RefresherError, RejectedError, TransientError
from refresher.model import Asset, Limits


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that is on disk already, offered once more; `own_name` is what it is called there."""

    name: str
    files: FileSet
    own_name: str

    @property
    def size(self) -> int:
        """Bytes."""
        return self.files.files[self.own_name].size

    @property
    def digest(self) -> str:
        """As it was computed when it came."""
        return self.files.files[self.own_name].digest

    @property
    def sensitive(self) -> bool:
        """As its source said, or as it turned out to be."""
        return self.files.files[self.own_name].sensitive

    @property
    def revision(self) -> str:
        """Its source's own, so that it is linked and not copied; else its digest, which says as much."""
        return self.files.files[self.own_name].revision or self.digest

    def open(self, offset: int = 0) -> ByteStream:
        """The content from `offset` on. TransientError if it can't be read."""
        with _reading(self.name):
            file = self.files.open(self.own_name)
            file.seek(offset)
        return HeldStream(self.name, file)


@dataclass(frozen=True, slots=True)
class HeldStream:
    """An open held file as a byte stream."""

    name: str
    file: BinaryIO

    def readinto(self, buffer: memoryview, /) -> int:
        """Read up to `len(buffer)` bytes, 0 at the end. TransientError if it can't be read."""
        with _reading(self.name):
            chunk = self.file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        """Close the file."""
        self.file.close()


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RefresherError) as error:
        raise TransientError(f"{name}, which is held, can't be read: {error}") from error


def is_unpacked(file: RemoteFile, asset: Asset) -> bool:
    """Whether the files in it come in its place; what is held was unpacked when it came."""
    return asset.unpack and is_archive(file.name) and not isinstance(file, HeldFile)


def limit_of(file: RemoteFile, asset: Asset) -> int:
    """Bytes that the file may have; an archive counts by what is in it."""
    if is_unpacked(file, asset):
        return asset.limits.total
    return asset.limits.of_file(sensitive=file.sensitive)


def revision_of(file: RemoteFile, fetched: Fetched) -> str:
    """The file's own revision, else that of the whole answer; empty if equal ones don't mean equal bytes."""
    if isinstance(file, InlineFile):
        return ""
    # Not isinstance(file, Versioned), which looks the protocol's names up anew each time: 12 µs a file on Python 3.11.
    # And a plugin's file may have an attribute of this name that means something else.
    revision: object = getattr(file, "revision", "" if fetched.minted else fetched.revision)
    return revision if isinstance(revision, str) else ""


def refuse_total(total: int, limits: Limits) -> None:
    """RejectedError for so many bytes in all files together."""
    if total > limits.total:
        raise RejectedError(f"the files are more than limits.total ({limits.total} bytes) together")
