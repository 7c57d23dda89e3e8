"""Staging: what a source offers becomes a candidate on disk, hashed and counted on the way.

Once for all providers: limits, safe names, what is kept already, hashing while copying, going on where a stream broke
or an earlier attempt ended, final modes. The files are readable by nobody else until they are complete, and then get
the mode that they will be published with.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from itertools import chain
from threading import Lock, Thread
from typing import Protocol

from refresher import nested
from refresher.abilities import Check, Checked, Versioned
from refresher.contract import Fetched, FileSet, InlineFile, RemoteFile, StagedFile
from refresher.errors import RejectedError, TransientError
from refresher.incoming import Incoming, Journal, Wanted
from refresher.landing import Landing, Resumed
from refresher.model import SECRET_FILE_LIMIT, Asset, Candidate, Clock, Limits
from refresher.traffic import Progress
from refresher.transfer.reception import received
from refresher.transfer.terms import GivenUp, Terms
from refresher.volume import Directory, parts_of

RESUMED = 8 * 1024 * 1024
"""Bytes of a whole fetch from which on a later attempt goes on where this one ends."""


class Copies(Protocol):
    """What is kept on the volume, and can be linked instead of fetched or stored again."""

    def link_revision(self, name: str, revision: str, *, into: Directory) -> StagedFile | None:
        """Link `name` to what is kept of it under this revision, if anything is."""
        ...

    def link_digest(self, name: str, digest: str | None, *, into: Directory) -> StagedFile | None:
        """Link `name` to a file with this digest, if one is kept."""
        ...

    def instead(self, name: str, staged: StagedFile, *, into: Directory) -> StagedFile:
        """Give up the file that came for a link to one with the same content, if one is kept."""
        ...


class Room(Protocol):
    """Says whether there is room, or makes it."""

    def __call__(self, needed: int, /) -> None:
        """Raise TransientError unless so many bytes can be written."""
        ...


def stage(
    fetched: Fetched,
    *,
    into: Incoming,
    asset: Asset,
    copies: Copies,
    room: Room,
    progress: Progress,
    published: FileSet | None,
    clock: Clock,
) -> Candidate:
    """Land all files in the open directory `into`: a candidate, of the moment when the last byte came.

    Raises RejectedError (names, limits, a promised digest that doesn't hold), TransientError (broken off, too slow, no
    room), and whatever the source's streams raise.
    """
    _refuse_names(fetched.files)
    _refuse_sizes(fetched.files, asset.limits)
    linked = {file.name: copy for file in fetched.files if (copy := _linked(file, fetched, copies, into))}
    missing = [file for file in fetched.files if file.name not in linked]
    _begin(missing, into, room, progress)
    with asset.traffic.more(asset.limits.connections - 1) as lanes:
        terms = Terms(asset.limits, asset.refresh.timeout, asset.traffic, progress, lanes=lanes)
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
        if file.size is not None and not file.sensitive and (revision := _revision(file, fetched))
    }
    if asset.unpack or sum(wanted.size for wanted in files.values()) < RESUMED:
        return None
    return Journal(source=asset.source, files=files)


def _revision(file: RemoteFile, fetched: Fetched) -> str:
    """The file's own revision, else that of the whole answer; empty if equal ones don't mean equal bytes."""
    if fetched.minted or isinstance(file, InlineFile):
        return ""
    return file.revision if isinstance(file, Versioned) else fetched.revision


def _linked(file: RemoteFile, fetched: Fetched, copies: Copies, into: Incoming) -> StagedFile | None:
    revision = _revision(file, fetched)
    if file.sensitive or not revision:
        return None
    copy = copies.link_revision(file.name, revision, into=into.files) or copies.link_digest(
        file.name, file.digest, into=into.files
    )
    return replace(copy, revision=revision) if copy else None


def _begin(missing: Sequence[RemoteFile], into: Incoming, room: Room, progress: Progress) -> None:
    come = sum(into.size_of_part(file.name) for file in missing)
    known = sum(file.size or 0 for file in missing) - come
    room(known)
    progress.expect(None if any(file.size is None for file in missing) else known)


class Crew:
    """Lands a fetch's files, as many at a time as there are connections; the first that fails stops all."""

    def __init__(self, fetched: Fetched, *, into: Incoming, asset: Asset, copies: Copies, terms: Terms) -> None:
        self._fetched, self._into, self._asset, self._copies, self._terms = fetched, into, asset, copies, terms
        self._lock = Lock()
        self._landed: dict[str, dict[str, StagedFile]] = {}
        self._error: Exception | None = None
        self._total = 0

    def landed(self, files: Sequence[RemoteFile]) -> dict[str, dict[str, StagedFile]]:
        """What each file became on the disk, by its name at the source. Raises the first error."""
        pending = deque(files)
        # What came with the answer needs no connection.
        wanted = sum(not isinstance(file, InlineFile) for file in files) - 1
        helpers = [
            Thread(target=self._help, args=(pending,), name="crew", daemon=True)
            for _ in range(min(wanted, self._terms.lanes))
        ]
        for helper in helpers:
            helper.start()
        self._work(pending)
        for helper in helpers:
            helper.join()
        if self._error:
            raise self._error
        return self._landed

    def _help(self, pending: deque[RemoteFile]) -> None:
        with self._terms.taken(1) as lanes:
            if lanes:
                self._work(pending)

    def _work(self, pending: deque[RemoteFile]) -> None:
        with suppress(IndexError):
            while not self._terms.given_up:
                self._land(pending.popleft())

    def _land(self, file: RemoteFile) -> None:
        try:
            files = self._files(file)
            with self._lock:
                self._landed[file.name] = files
                self._total += sum(staged.size for staged in files.values())
                _refuse_total(self._total, self._asset.limits)
        except GivenUp:
            pass
        except Exception as error:  # noqa: BLE001 - whoever waits for the crew gets it
            with self._lock:
                self._error = self._error or error
            self._terms.given_up = True

    def _files(self, file: RemoteFile) -> dict[str, StagedFile]:
        staged = self._copy(file)
        instead = self._copies.instead(file.name, staged, into=self._into.files)
        return {file.name: replace(instead, revision=_revision(file, self._fetched))}

    def _copy(self, file: RemoteFile) -> StagedFile:
        limits, publish, root = self._asset.limits, self._asset.publish, self._into.files
        begun = Resumed if file.name in self._into.parts else Landing
        with begun(root, file.name, sensitive=file.sensitive, limit=_limit(file, limits), publish=publish) as landing:
            check = _write(file, landing, self._terms)
            try:
                _refuse_broken_promises(file, landing, check)
            except TransientError:
                # Damaged, wherever that was: nobody must go on with it.
                nested.remove(file.name, root)
                raise
            return landing.complete()


def _write(file: RemoteFile, landing: Landing, terms: Terms) -> Check | None:
    with closing(received(file, offset=landing.size, terms=terms)) as chunks:
        # Once a stream is open, a source knows which checksum it sends.
        first = next(chunks, None)
        check = file.check() if isinstance(file, Checked) else None
        if check:
            landing.feed(check)
        for chunk in chain(() if first is None else (first,), chunks):
            landing.write(chunk)
    return check


def _refuse_broken_promises(file: RemoteFile, landing: Landing, check: Check | None) -> None:
    if file.size is not None and file.size != landing.size:
        raise TransientError(f"{file.name} has {landing.size} bytes where {file.size} were promised")
    if file.digest is not None and file.digest != landing.digest:
        raise RejectedError(f"{file.name} does not have the promised digest")
    if check:
        check.verify()


def _limit(file: RemoteFile, limits: Limits) -> int:
    return min(limits.file, SECRET_FILE_LIMIT) if file.sensitive else limits.file


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


def _refuse_sizes(files: Sequence[RemoteFile], limits: Limits) -> None:
    if len(files) > limits.files:
        raise RejectedError(f"the source has {len(files)} files, more than limits.files ({limits.files})")
    for file in files:
        if (file.size or 0) > _limit(file, limits):
            raise RejectedError(f"{file.name} has {file.size} bytes, more than its limit of {_limit(file, limits)}")
    _refuse_total(sum(file.size or 0 for file in files), limits)


def _refuse_total(total: int, limits: Limits) -> None:
    if total > limits.total:
        raise RejectedError(f"the files are more than limits.total ({limits.total} bytes) together")
