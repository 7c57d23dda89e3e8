"""Members become files: named, limited, landed."""

import os
import posixpath
from collections.abc import Collection

from refresher.archives.archive import Archive
from refresher.archives.members import File, Folder, Link, Member
from refresher.archives.names import Names
from refresher.contract import StagedFile
from refresher.landing import Landing
from refresher.model import Limits, Publish
from refresher.nested import above
from refresher.volume import Directory, explained


class Unpacking:
    """The files of one archive, as they come."""

    def __init__(
        self, archive: Archive, *, into: Directory, publish: Publish, sensitive: bool, taken: Collection[str]
    ) -> None:
        self._archive, self._into, self._publish, self._sensitive = archive, into, publish, sensitive
        self._above = posixpath.dirname(archive.name)
        self._limit = archive.limits.of_file(sensitive=sensitive)
        self._names = Names(taken, limit=archive.limits.files)
        self._files: dict[str, StagedFile] = {}
        self._size = 0

    def take(self, member: Member) -> None:
        """Land one member. Raises RejectedError, or TransientError or PermanentError if the disk fails."""
        self._names.count()
        name = self._named(member)
        match member:
            case File():
                self._names.add_file(name)
                self._land(name, member)
            case Link():
                self._names.add_file(name)
                self._link(name, member)
            case Folder() if name != self._above:
                # Not made: a directory without files isn't published.
                self._names.add_directory(name)

    def complete(self) -> dict[str, StagedFile]:
        """The files by their names."""
        if not self._files:
            raise self._archive.refusal("holds no files, and nothing empty is published")
        return self._files

    def _named(self, member: Member) -> str:
        parts = [part for part in member.name.split("/") if part not in {"", "."}]
        if member.name.startswith("/"):
            raise self._archive.refusal(f"has the absolute name {member.name[:300]!r}")
        if not parts and not isinstance(member, Folder):
            raise self._archive.refusal("has a file without a name")
        return "/".join([*filter(None, [self._above]), *parts])

    def _land(self, name: str, file: File) -> None:
        if file.size > self._limit:
            named = Limits.named(sensitive=self._sensitive)
            raise self._archive.refusal(
                f"holds {name} of {file.size} bytes, more than its limit of {self._limit} ({named})"
            )
        with Landing(self._into, name, sensitive=self._sensitive, limit=self._limit, publish=self._publish) as landing:
            for piece in file.content:
                self._count(len(piece))
                landing.write(piece)
            if landing.size != file.size:
                raise self._archive.refusal(f"holds {name} with {landing.size} bytes where it says {file.size}")
            landing.hurry()
            self._files[name] = landing.complete()

    def _count(self, size: int) -> None:
        self._size += size
        limit = self._archive.limits.total
        if self._size > limit:
            raise self._archive.refusal(f"holds more than limits.total ({limit} bytes)")

    def _link(self, name: str, link: Link) -> None:
        # Only what this archive has landed itself is looked up, so that no target can lead anywhere else.
        target = posixpath.normpath(posixpath.join(self._above, link.target))
        if link.target.startswith("/") or target not in self._files:
            raise self._archive.refusal(
                f"has a link, {name}, that leads to no file that stands before it in the archive"
            )
        with explained(self._into.path):
            _link(self._into, target, name)
        self._files[name] = self._files[target]


def _link(root: Directory, target: str, name: str) -> None:
    with (
        above(root, target, reach=Directory.child) as (source, old),
        above(root, name, reach=Directory.made) as (destination, new),
    ):
        os.link(old, new, src_dir_fd=source.fd, dst_dir_fd=destination.fd, follow_symlinks=False)
