"""A file that is on disk already, offered once more: where what stands beside it has changed, and it hasn't."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from refresher.contract import ByteStream, FileSet
from refresher.errors import RefresherError, TransientError


@dataclass(frozen=True, slots=True)
class HeldFile:
    """The file under its name in the asset; `own_name` is what it is called in `files`."""

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
