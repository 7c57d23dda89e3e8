"""Archives of a source become the files in them, while their bytes arrive.

    chunks --Archive--> counted --compression--> plain --tar, zipped--> Member --Unpacking--> StagedFile

What is in an archive was written by somebody else: every name, size and link in it is a claim. Memory doesn't grow with
the archive, nothing is written outside the directory, and a damaged archive is never taken for a shorter one.
"""

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing
from functools import partial

from refresher.archives import compression, tar, zipped
from refresher.archives.archive import Archive
from refresher.archives.members import Member
from refresher.archives.unpacking import Unpacking
from refresher.contract import StagedFile
from refresher.model import Asset
from refresher.volume import Directory

__all__ = ["ENDINGS", "is_archive", "unpack"]

_Reader = Callable[[Archive, Directory], Generator[Member, None, None]]


def _tar(
    decompressed: Callable[[Archive], Iterator[memoryview]], archive: Archive, _: Directory
) -> Generator[Member, None, None]:
    return tar.members(archive, decompressed(archive))


_READERS: dict[str, _Reader] = {
    ".tar": partial(_tar, Archive.chunks),
    ".tar.gz": partial(_tar, compression.gzip),
    ".tgz": partial(_tar, compression.gzip),
    ".tar.zst": partial(_tar, compression.zstd),
    ".tzst": partial(_tar, compression.zstd),
    ".zip": zipped.members,
}


ENDINGS = tuple(_READERS)
"""Of the names of archives."""


def is_archive(name: str) -> bool:
    """Whether a file of this name is taken for an archive: by its ending, in small or capital letters."""
    return _reader_of(name) is not None


def unpack(
    name: str,
    chunks: Iterator[memoryview],
    *,
    into: Directory,
    asset: Asset,
    sensitive: bool,
    taken: Collection[str],
) -> dict[str, StagedFile]:
    """Land the archive's files below `into`, beside where the archive would have been; by their names below `into`.

    `chunks` are the archive's bytes in order, read to their end, each valid until the next one is asked for; `taken`
    are the names that other files of the set have, and count for `limits.files`. Raises RejectedError for what is no
    such archive, isn't whole, or holds what may not be published; TransientError or PermanentError if the disk fails;
    and whatever `chunks` raises. After an error `into` holds what had been written until then.
    """
    reader = _reader_of(name)
    if reader is None:
        raise ValueError(f"{name} has no archive's name")
    archive = Archive(name, chunks, limits=asset.limits)
    unpacking = Unpacking(archive, into=into, publish=asset.publish, sensitive=sensitive, taken=taken)
    # Closed at once when something is wrong: a zip lies in a file of the volume meanwhile.
    with closing(reader(archive, into)) as members:
        for member in members:
            unpacking.take(member)
    return unpacking.complete()


def _reader_of(name: str) -> _Reader | None:
    return next((reader for ending, reader in _READERS.items() if name.lower().endswith(ending)), None)
