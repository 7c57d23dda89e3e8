"""A source's files under their names in the asset; with what else they can do, and no more than that."""

from dataclasses import dataclass, replace
from typing import Protocol

from refresher.abilities import Check, Checked, Ranged
from refresher.contract import ByteStream, Fetched, FileSet, InlineFile, RemoteFile
from refresher.held_file import HeldFile
from refresher.offered import revision_of
from refresher.sources.parts import name_in


class RangedFile(RemoteFile, Ranged, Protocol):
    """A remote file that is `Ranged`."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A remote file of one source, under its name in the asset."""

    file: RemoteFile
    name: str
    revision: str

    @property
    def size(self) -> int | None:
        """As the source promises it."""
        return self.file.size

    @property
    def digest(self) -> str | None:
        """As the source promises it."""
        return self.file.digest

    @property
    def sensitive(self) -> bool:
        """As the source says."""
        return self.file.sensitive

    def open(self, offset: int = 0) -> ByteStream:
        """The content from `offset` on."""
        return self.file.open(offset)

    def check(self) -> Check | None:
        """The source's own checksum, if it sends one."""
        return self.file.check() if isinstance(self.file, Checked) else None


@dataclass(frozen=True, slots=True)
class PlacedInRanges(Placed):
    """One whose parts can be read side by side. Not every file: one that says so is gone on with in another way."""

    file: RangedFile

    @property
    def ranged(self) -> bool:
        """Whether the source allows it."""
        return self.file.ranged

    def open_range(self, offset: int, size: int) -> ByteStream:
        """Exactly `size` bytes from `offset` on."""
        return self.file.open_range(offset, size)


def placed(source: str, fetched: Fetched) -> list[RemoteFile]:
    """What a source has, below its own directory."""
    return [_placed(source, file, revision_of(file, fetched)) for file in fetched.files]


def held(source: str, part: FileSet) -> list[RemoteFile]:
    """What is held of a source, below its own directory."""
    return [HeldFile(name_in(source, name), part, name) for name in part.files]


def _placed(source: str, file: RemoteFile, revision: str) -> RemoteFile:
    name = name_in(source, file.name)
    if isinstance(file, InlineFile):
        return replace(file, name=name)
    if isinstance(file, Ranged):
        return PlacedInRanges(file, name, revision)
    return Placed(file, name, revision)
