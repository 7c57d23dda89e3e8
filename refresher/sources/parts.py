"""Each source's own part of a set of files: what is below the directory of its name, under the names that it gave."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from refresher.contract import FileSet, StagedFile
from refresher.errors import RefresherError, TransientError
from refresher.model import SECRET_FILE_LIMIT
from refresher.recovery import DAMAGE

CHUNK = 1024 * 1024
"""Bytes that are read at a time."""


def name_in(source: str, name: str) -> str:
    """What a source's file is called in the asset."""
    return f"{source}/{name}"


@dataclass(frozen=True)
class Part:
    """The files of one source, of all those of a set."""

    source: str
    of: FileSet

    @cached_property
    def files(self) -> Mapping[str, StagedFile]:
        """Every file's facts by the name that the source gave it."""
        below = name_in(self.source, "")
        return {name.removeprefix(below): file for name, file in self.of.files.items() if name.startswith(below)}

    def open(self, name: str) -> BinaryIO:
        """The file, read-only; KeyError for a name that isn't in `files`."""
        return self.of.open(name_in(self.source, name))


class Published:
    """What readers see, or what that was made of (None: nothing), source by source."""

    def __init__(self, published: FileSet | None) -> None:
        self._published = published

    def of(self, source: str) -> FileSet | None:
        """The files of that source, under the names that it gave; None if there are none."""
        part = Part(source, self._published) if self._published else None
        return part if part and part.files else None


def is_whole(part: FileSet) -> bool:
    """Whether each file is there as it was published. TransientError if that can't be known now.

    Small ones are read. Large ones aren't, if they still have the moment of their last write: they would have to be at
    each change of any other source.
    """
    try:
        return all(_is_as_published(part, name, staged) for name, staged in part.files.items())
    except (RefresherError, KeyError):
        return False
    except OSError as error:
        # Too many open files, say: no reason to have a certificate or a login made anew.
        if error.errno not in DAMAGE:
            raise TransientError(f"what is held can't be read: {error.strerror}") from error
        return False


def _is_as_published(part: FileSet, name: str, staged: StagedFile) -> bool:
    with part.open(name) as file:
        if staged.size > SECRET_FILE_LIMIT and staged.modified is not None:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) == (staged.size, staged.modified):
                return True
        return _digest(file, size=staged.size) == staged.digest


def _digest(file: BinaryIO, *, size: int) -> str:
    """The digest of its content, of which no more is read than decides whether it has that size."""
    sha256, read = hashlib.sha256(), 0
    while read <= size and (chunk := file.read(CHUNK)):
        sha256.update(chunk)
        read += len(chunk)
    return f"sha256:{sha256.hexdigest()}"
