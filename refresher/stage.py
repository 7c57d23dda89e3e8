"""Staging: what a source offers becomes a candidate on disk, hashed and counted on the way.

Once for all providers: limits, safe names, what is kept already, hashing while copying, going on where a stream broke
or an earlier attempt ended, final modes. The files are readable by nobody else until they are complete, and then get
the mode that they will be published with.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from refresher.contract import Fetched, FileSet, RemoteFile, StagedFile
from refresher.crew import Copies, Crew
from refresher.errors import RejectedError
from refresher.incoming import Incoming, Journal, Wanted
from refresher.model import Asset, Candidate, Clock
from refresher.offered import is_unpacked, limit_of, refuse_total, revision_of
from refresher.traffic import Progress
from refresher.transfer.terms import Terms
from refresher.volume import parts_of

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

    Raises RejectedError (names, limits, a promised digest that doesn't hold), TransientError (broken off, too slow, no
    room), and whatever the source's streams raise.
    """
    _refuse_names(fetched.files)
    _refuse_sizes(fetched.files, asset)
    linked = {file.name: copy for file in fetched.files if (copy := _linked(file, fetched, copies, into, asset))}
    missing = [file for file in fetched.files if file.name not in linked]
    _begin(missing, into, require_room, progress)
    with asset.traffic.more(asset.limits.connections - 1) as granted:
        terms = Terms(asset.limits, asset.refresh.timeout, asset.traffic, progress, free=granted)
        landed = Crew(fetched, into=into, asset=asset, copies=copies, terms=terms).landed(missing)
    files: dict[str, StagedFile] = {}
    for file in fetched.files:
        files |= landed.get(file.name) or {file.name: linked[file.name]}
    return Candidate(
        directory=into.files, files=files, asset=asset.name, now=clock(), fetched=fetched, published=published
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
    return not file.sensitive and not is_unpacked(file, asset)


def _linked(file: RemoteFile, fetched: Fetched, copies: Copies, into: Incoming, asset: Asset) -> StagedFile | None:
    revision = revision_of(file, fetched)
    if not revision or not _can_be_kept(file, asset):
        return None
    copy = copies.link_revision(file.name, revision, into=into.files) or copies.link_digest(
        file.name, file.digest, into=into.files
    )
    return replace(copy, revision=revision) if copy else None


def _begin(
    missing: Sequence[RemoteFile], into: Incoming, require_room: Callable[[int], None], progress: Progress
) -> None:
    come = sum(into.size_of_part(file.name) for file in missing)
    known = sum(file.size or 0 for file in missing) - come
    require_room(known)
    progress.expect(None if any(file.size is None for file in missing) else known)


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


def _refuse_sizes(files: Sequence[RemoteFile], asset: Asset) -> None:
    limits = asset.limits
    if len(files) > limits.files:
        raise RejectedError(f"the source has {len(files)} files, more than limits.files ({limits.files})")
    for file in files:
        if (file.size or 0) > limit_of(file, asset):
            raise RejectedError(f"{file.name} has {file.size} bytes, more than its limit of {limit_of(file, asset)}")
    refuse_total(sum(file.size or 0 for file in files), limits)
