"""Files of kept generations: linked into a new one, instead of being fetched or stored again.

A link is made only to a file that still has the size and the moment of its last write that it was published with:
somebody may have written into it since. Secrets are never linked, so that closing one generation closes its keys.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from refresher import nested
from refresher.contract import StagedFile
from refresher.landing import ids_of, mode_of
from refresher.model import Asset, LayoutName
from refresher.place import Place
from refresher.volume import Directory

WORTH_IT = 64 * 1024
"""Bytes from which on a file that came again is given up for a link."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file of the generation `number`."""

    number: int
    name: str
    staged: StagedFile


class Kept:
    """The kept generations of one asset, read when they are first asked for; a context manager."""

    def __init__(self, asset: Asset, place: Place) -> None:
        self._asset, self._place = asset, place
        self._opened: dict[int, Directory] = {}
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def link_revision(self, name: str, revision: str, *, into: Directory) -> StagedFile | None:
        """Link `name` to what is kept of it under this revision, if anything is."""
        copy = self._by_revision.get((name, revision)) if revision else None
        return self._linked(copy, name, into) if copy else None

    def has(self, digest: str, *, size: int | None) -> bool:
        """Whether a file with this digest, and of so many bytes, is kept."""
        copy = self._by_digest.get(digest)
        return copy is not None and copy.staged.size == size

    def link_digest(self, name: str, digest: str | None, *, into: Directory) -> StagedFile | None:
        """Link `name` to a file with this digest, if one is kept."""
        copy = self._by_digest.get(digest) if digest else None
        return self._linked(copy, name, into) if copy else None

    def instead(self, name: str, staged: StagedFile, *, into: Directory) -> StagedFile:
        """Give up the file that came for a link to one with the same content, if one is kept."""
        copy = self._by_digest.get(staged.digest) if staged.size >= WORTH_IT and not staged.sensitive else None
        return (copy and self._linked(copy, name, into)) or staged

    def _linked(self, copy: Copy, name: str, into: Directory) -> StagedFile | None:
        with contextlib.suppress(OSError):
            with nested.link(name, into, source=self._files(copy.number), source_name=copy.name) as status:
                if not self._is_as_published(copy.staged, status):
                    raise FileNotFoundError(name)
            return replace(copy.staged, revision="")
        return None

    def _is_as_published(self, staged: StagedFile, status: os.stat_result) -> bool:
        uid, gid = ids_of(self._asset.publish)
        return (
            stat.S_ISREG(status.st_mode)
            and (status.st_size, status.st_mtime_ns) == (staged.size, staged.modified)
            and stat.S_IMODE(status.st_mode) == staged.mode == mode_of(self._asset.publish, sensitive=False)
            and uid in {-1, status.st_uid}
            and gid in {-1, status.st_gid}
        )

    def _files(self, number: int) -> Directory:
        if number not in self._opened:
            self._opened[number] = self._closing.enter_context(self._place.layout.files(number))
        return self._opened[number]

    @cached_property
    def _copies(self) -> list[Copy]:
        """The oldest first, so that the newest wins below."""
        # With this layout, the visible file is a link to its generation's: one that two share would say nothing.
        if self._asset.publish.layout is LayoutName.FILE:
            return []
        return list(self._found())

    def _found(self) -> Iterator[Copy]:
        for number in self._place.store.numbers():
            generation = self._place.store.generation(number)
            is_same = generation is not None and generation.source == self._asset.source
            for name, staged in generation.files.items() if generation else ():
                if not staged.sensitive:
                    yield Copy(number, name, staged if is_same else replace(staged, revision=""))

    @cached_property
    def _by_revision(self) -> Mapping[tuple[str, str], Copy]:
        return {(copy.name, copy.staged.revision): copy for copy in self._copies if copy.staged.revision}

    @cached_property
    def _by_digest(self) -> Mapping[str, Copy]:
        return {copy.staged.digest: copy for copy in self._copies}
