"""A source's files in memory, received under the same terms as files that go to the disk."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from refresher.contract import FileSet, InlineFile, RemoteFile, StagedFile
from refresher.crew import Passing, opened, refuse_broken_promises
from refresher.errors import RejectedError
from refresher.model import MiB
from refresher.transfer.reception import received
from refresher.transfer.terms import Terms

FILE_LIMIT = 4 * MiB
"""Bytes of a file; the limit that every sensitive file has."""
TOTAL_LIMIT = 16 * MiB
"""Bytes of all files of an asset together: they stay in memory as long as what was made of them is published."""
MOST_FILES = 1_000


@dataclass(frozen=True)
class Inputs:
    """Complete files in memory, in the source's order; a file set that verifiers can judge."""

    contents: Mapping[str, InlineFile]

    @cached_property
    def files(self) -> Mapping[str, StagedFile]:
        """Every file's facts by its name."""
        return {
            name: StagedFile(size=file.size, digest=digest_of(file.content), sensitive=file.sensitive)
            for name, file in self.contents.items()
        }

    @property
    def sensitive(self) -> bool:
        """Whether any of it is secret."""
        return any(file.sensitive for file in self.contents.values())

    def open(self, name: str) -> BinaryIO:
        """The file, read-only; KeyError for a name that isn't in `files`."""
        return io.BytesIO(self.contents[name].content)


@dataclass(frozen=True)
class Copied:
    """Inputs as far as published files are copies of them; `names` are the published ones by those of the inputs."""

    published: FileSet
    names: Mapping[str, str]

    @property
    def files(self) -> Mapping[str, StagedFile]:
        """Every file's facts by its name."""
        there = self.published.files
        return {name: there[copy] for name, copy in self.names.items() if copy in there}

    def open(self, name: str) -> BinaryIO:
        """The file, read-only; KeyError for a name that isn't in `files`."""
        return self.published.open(self.names[name])


def read(files: Sequence[RemoteFile], terms: Terms) -> Inputs:
    """All files. Raises RejectedError beyond the limits, and what staging raises for what doesn't come as promised."""
    if len(files) > MOST_FILES:
        raise RejectedError(f"the source has {len(files)} files, and at most {MOST_FILES} can be rendered")
    contents: dict[str, InlineFile] = {}
    left = TOTAL_LIMIT
    for file in files:
        if file.name in contents:
            raise RejectedError("the source has two files of the same name")
        content = _content(file, min(FILE_LIMIT, left), terms)
        left -= len(content)
        contents[file.name] = InlineFile(file.name, content, sensitive=file.sensitive)
    return Inputs(contents)


def _content(file: RemoteFile, limit: int, terms: Terms) -> bytes:
    if file.size is not None and file.size > limit:
        raise _too_large(file)
    with closing(received(file, offset=0, terms=terms)) as stream:
        check, chunks = opened(file, stream)
        passing = Passing(chunks, check)
        content = b"".join(_within(limit, passing, file))
    refuse_broken_promises(file, size=passing.size, digest=passing.digest, check=check)
    return content


def _within(limit: int, chunks: Iterable[memoryview], file: RemoteFile) -> Iterator[bytes]:
    left = limit
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise _too_large(file)
        # A copy: the chunk's buffer is filled anew next.
        yield bytes(chunk)


def _too_large(file: RemoteFile) -> RejectedError:
    return RejectedError(f"{file.name} is too large to be rendered: at most 4MiB a file, and 16MiB together")


def digest_of(content: bytes) -> str:
    """`sha256:…`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
