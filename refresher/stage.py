"""Staging: what a source offers becomes a candidate on disk, hashed and counted on the way.

Once for all providers: limits, safe names, what is kept already, hashing while copying, going on where a stream broke
or an earlier attempt ended, final modes. The files are readable by nobody else until they are complete, and then get
the mode that they will be published with.

1. What is kept under the same name and revision is linked.
2. The lists that promise digests come.
3. What is kept of the promised content is linked.
4. The rest comes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from refresher.archives import ENDINGS, is_archive
from refresher.contract import Fetched, FileSet, InlineFile, RemoteFile, StagedFile
from refresher.crew import Copies, Crew
from refresher.errors import RejectedError
from refresher.filenames import parts_of
from refresher.held_file import HeldFile
from refresher.incoming import Incoming, Journal, Wanted
from refresher.model import Asset, Candidate, Clock, FilesOnDisk
from refresher.offered import is_unpacked, limit_of, refuse_total, revision_of
from refresher.promises import list_names, promised
from refresher.traffic import Progress
from refresher.transfer.terms import Terms

WORTH_RESUMING = 8 * 1024 * 1024
"""Bytes of a whole fetch from which on a later attempt goes on where this one ends."""


def stage(
    fetched: Fetched,
    *,
    into: Incoming,
    asset: Asset,
    copies: Copies,
    require_room: Callable[[int], None],
    progress: Progress,
    published: FileSet | None,
    clock: Clock,
) -> Candidate:
    """Land all files in the open directory `into`: a candidate, of the moment when the last byte came.

    `require_room` raises TransientError unless so many bytes can be written, or makes room for them.

    Raises RejectedError (names, limits, archives, no archive where one is to be unpacked), TransientError (broken off,
    too slow, not as the source promised, no room), and whatever the source's streams raise.
    """
    _refuse_names(fetched.files)
    _require_an_archive(fetched.files, asset)
    _refuse_sizes(fetched.files, asset)
    progress.expect(0, stays=into.journal is not None)
    staging = Staging(fetched, into, asset, copies, require_room, progress)
    staging.link_unchanged()  # 1.
    with asset.traffic.more(asset.limits.connections - 1) as granted:
        terms = Terms(asset.limits, asset.refresh.timeout, asset.traffic, progress, free=granted)
        crew = Crew(fetched, into=into, asset=asset, copies=copies, terms=terms)
        staging.land(staging.lists(), crew)  # 2.
        staging.link_promised()  # 3.
        staging.land(staging.missing(), crew)  # 4.
    return Candidate(
        directory=into.files, files=staging.files(), asset=asset.name, now=clock(), fetched=fetched, published=published
    )


def journal(fetched: Fetched, asset: Asset) -> Journal | None:
    """What a later attempt could go on with: large files whose revision tells that they are the same."""
    files = {
        file.name: Wanted(revision, file.size)
        for file in fetched.files
        if file.size is not None and _can_be_kept(file, asset) and (revision := revision_of(file, fetched))
    }
    if sum(wanted.size for wanted in files.values()) < WORTH_RESUMING:
        return None
    return Journal(source=asset.source, files=files)


def _can_be_kept(file: RemoteFile, asset: Asset) -> bool:
    return not file.sensitive and not isinstance(file, InlineFile) and not is_unpacked(file, asset)


@dataclass(slots=True)
class Staging:
    """What a fetch's files have become so far: `done`, by the name at the source."""

    fetched: Fetched
    into: Incoming
    asset: Asset
    copies: Copies
    require_room: Callable[[int], None]
    progress: Progress
    done: dict[str, Mapping[str, StagedFile]] = field(default_factory=dict)

    def files(self) -> dict[str, StagedFile]:
        """All that there is, in the source's order."""
        return {name: staged for file in self.fetched.files for name, staged in self.done[file.name].items()}

    def missing(self) -> list[RemoteFile]:
        """What has neither come nor been linked."""
        return [file for file in self.fetched.files if file.name not in self.done]

    def lists(self) -> list[RemoteFile]:
        """What is missing, and promises something of other files."""
        names = list_names(self.asset)
        return [file for file in self.missing() if file.name in names and not is_unpacked(file, self.asset)]

    def link_unchanged(self) -> None:
        """Link what the source itself says is kept."""
        for file in self.fetched.files:
            if not _can_be_kept(file, self.asset):
                continue
            revision = revision_of(file, self.fetched)
            if revision or file.digest:
                copy = self.copies.link_revision(file.name, revision, into=self.into.files)
                copy = copy or self.copies.link_digest(file.name, file.digest, into=self.into.files)
                if copy:
                    self.done[file.name] = {file.name: replace(copy, revision=revision)}

    def link_promised(self) -> None:
        """Link what is kept of the content that lists promise, under no revision: the source may have another."""
        names = list_names(self.asset) & self.done.keys()
        lists = FilesOnDisk(directory=self.into.files, files={name: self.done[name][name] for name in names})
        digests = promised(self.asset, lists)
        kept = {file.name: digests[file.name] for file in self.missing() if self._is_kept(file, digests)}
        # First: a part under a revision that is gone on with, after a kill, must be of that revision.
        self.into.forget(kept.keys())
        for name, digest in kept.items():
            if copy := self.copies.link_digest(name, digest, into=self.into.files):
                self.done[name] = {name: copy}

    def land(self, files: Sequence[RemoteFile], crew: Crew) -> None:
        """Have these come, if there is room."""
        if not files:
            return
        come = sum(self.into.size_of_part(file.name) for file in files)
        known = sum(file.size or 0 for file in files) - come
        self.require_room(known)
        self.progress.expect_more(None if any(file.size is None for file in files) else known)
        self.done |= crew.landed(files)

    def _is_kept(self, file: RemoteFile, digests: Mapping[str, str]) -> bool:
        """Whether content with the promised digest is kept, which the source's own promises don't speak against."""
        digest = digests.get(file.name)
        return (
            digest is not None
            and file.digest in {None, digest}
            and _can_be_kept(file, self.asset)
            and self.copies.has(digest, size=file.size)
        )


def _refuse_names(files: Sequence[RemoteFile]) -> None:
    if not files:
        raise RejectedError("the source has no files, and nothing empty is published")
    names = [parts_of(file.name) for file in files]
    taken = set(names)
    if len(taken) < len(names):
        raise RejectedError("the source has two files of the same name")
    for parts in names:
        if any(parts[:length] in taken for length in range(1, len(parts))):
            raise RejectedError(f"the source has {'/'.join(parts)!r} below a file of the same name as its directory")


def _require_an_archive(files: Sequence[RemoteFile], asset: Asset) -> None:
    # What is held was unpacked when it came.
    if asset.unpack and not any(is_archive(file.name) or isinstance(file, HeldFile) for file in files):
        raise RejectedError(f"unpack is true, and no file's name ends in one of {', '.join(ENDINGS)}")


def _refuse_sizes(files: Sequence[RemoteFile], asset: Asset) -> None:
    limits = asset.limits
    if len(files) > limits.files:
        raise RejectedError(f"the source has {len(files)} files, more than limits.files ({limits.files})")
    for file in files:
        if (file.size or 0) > (limit := limit_of(file, asset)):
            named = "limits.total" if is_unpacked(file, asset) else limits.named(sensitive=file.sensitive)
            raise RejectedError(f"{file.name} has {file.size} bytes, more than its limit of {limit} ({named})")
    refuse_total(sum(file.size or 0 for file in files), limits)
