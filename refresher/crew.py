"""The crew that lands a fetch's files: as many at a time as there are connections.

A file that is to be unpacked becomes the files in it; every other one is written as it comes, or given up for a link
when its content turns out to be kept already.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from itertools import chain
from threading import Lock, Thread
from typing import Protocol

from refresher import nested
from refresher.abilities import Check, Checked, Ranged
from refresher.archives import unpack
from refresher.contract import Fetched, InlineFile, RemoteFile, StagedFile
from refresher.errors import StartOverError, TransientError
from refresher.incoming import Incoming
from refresher.landing import Landing, Resumed
from refresher.model import Asset
from refresher.offered import is_unpacked, limit_of, refuse_total, revision_of
from refresher.transfer.reception import received
from refresher.transfer.terms import GivenUp, Terms
from refresher.transfer.threads import started
from refresher.volume import Directory, explained


class Copies(Protocol):
    """What is kept on the volume, and can be linked instead of fetched or stored again."""

    def link_revision(self, name: str, revision: str, *, into: Directory) -> StagedFile | None:
        """Link `name` to what is kept of it under this revision, if anything is."""
        ...

    def has(self, digest: str, *, size: int | None) -> bool:
        """Whether a file with this digest, and of so many bytes, is kept."""
        ...

    def link_digest(self, name: str, digest: str | None, *, into: Directory) -> StagedFile | None:
        """Link `name` to a file with this digest, if one is kept."""
        ...

    def instead(self, name: str, staged: StagedFile, *, into: Directory) -> StagedFile:
        """Give up the file that came for a link to one with the same content, if one is kept."""
        ...


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
        pending = deque(file for file in files if not is_unpacked(file, self._asset))
        # What came with the answer needs no connection.
        wanted = sum(not isinstance(file, InlineFile) for file in pending) - 1
        hands = started(
            Thread(target=self._lend_a_hand, args=(pending,), name="crew", daemon=True)
            for _ in range(min(wanted, self._terms.free))
        )
        self._work(pending)
        for hand in hands:
            hand.join()
        # One after the other: a name that two archives have must be seen.
        self._work(deque(file for file in files if is_unpacked(file, self._asset)))
        if self._error:
            raise self._error
        return self._landed

    def _lend_a_hand(self, pending: deque[RemoteFile]) -> None:
        with self._terms.taken(1) as granted:
            if granted:
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
                refuse_total(self._total, self._asset.limits)
        except GivenUp:
            pass
        except Exception as error:  # noqa: BLE001 - whoever waits for the crew gets it
            with self._lock:
                self._error = self._error or error
            self._terms.give_up()

    def _files(self, file: RemoteFile) -> dict[str, StagedFile]:
        if is_unpacked(file, self._asset):
            return self._unpacked(file)
        staged = self._copy(file)
        instead = self._copies.instead(file.name, staged, into=self._into.files)
        return {file.name: replace(instead, revision=revision_of(file, self._fetched))}

    def _copy(self, file: RemoteFile) -> StagedFile:
        try:
            return self._received(file)
        except StartOverError:
            self._give_up_part(file)
        return self._received(file)

    def _received(self, file: RemoteFile) -> StagedFile:
        limit, publish, root = limit_of(file, self._asset), self._asset.publish, self._into.files
        begun = Resumed if file.name in self._into.parts else Landing
        with begun(root, file.name, sensitive=file.sensitive, limit=limit, publish=publish) as landing:
            with self._moving(file, landing), closing(received(file, offset=landing.size, terms=self._terms)) as stream:
                check, chunks = opened(file, stream)
                if check:
                    landing.feed(check)
                for chunk in chunks:
                    landing.write(chunk)
                    if file.size is not None and landing.size > file.size:
                        break
            try:
                refuse_broken_promises(file, size=landing.size, digest=landing.digest, check=check)
            except TransientError:
                # Damaged, wherever that was: nobody must go on with it.
                self._give_up_part(file)
                raise
            # Else it is most likely removed again: for a link in its place, or because nothing has changed at all.
            if not self._copies.has(landing.digest, size=landing.size):
                landing.hurry()
            return landing.complete()

    @contextmanager
    def _moving(self, file: RemoteFile, landing: Landing) -> Iterator[None]:
        """Give a part up that a plugin without ranges doesn't move on from: perhaps it never can."""
        begun = landing.size
        try:
            yield
        except TransientError:
            if begun and landing.size == begun and not isinstance(file, Ranged):
                self._give_up_part(file)
            raise

    def _give_up_part(self, file: RemoteFile) -> None:
        with explained(self._into.files.path):
            nested.remove(file.name, self._into.files)
        self._into.parts.discard(file.name)

    def _unpacked(self, file: RemoteFile) -> dict[str, StagedFile]:
        with closing(received(file, offset=0, terms=self._terms)) as stream:
            check, chunks = opened(file, stream)
            passing = Passing(chunks, check)
            files = unpack(
                file.name,
                iter(passing),
                into=self._into.files,
                asset=self._asset,
                sensitive=file.sensitive,
                taken=self._taken(),
            )
        refuse_broken_promises(file, size=passing.size, digest=passing.digest, check=check)
        return {name: self._copies.instead(name, staged, into=self._into.files) for name, staged in files.items()}

    def _taken(self) -> set[str]:
        """The names that an archive's files can't have."""
        others = {file.name for file in self._fetched.files if not is_unpacked(file, self._asset)}
        return others.union(*self._landed.values())


class Passing:
    """Chunks on their way through, counted and hashed."""

    def __init__(self, chunks: Iterable[memoryview], check: Check | None) -> None:
        self.size = 0
        self._chunks, self._check, self._sha256 = chunks, check, hashlib.sha256()

    @property
    def digest(self) -> str:
        """`sha256:…` of what passed."""
        return f"sha256:{self._sha256.hexdigest()}"

    def __iter__(self) -> Iterator[memoryview]:
        for chunk in self._chunks:
            self.size += len(chunk)
            self._sha256.update(chunk)
            if self._check:
                self._check.update(chunk)
            yield chunk


def opened(file: RemoteFile, stream: Iterator[memoryview]) -> tuple[Check | None, Iterable[memoryview]]:
    """The file's checksum, which a source may know only once a stream is open, and all chunks."""
    first = next(stream, None)
    check = file.check() if isinstance(file, Checked) else None
    return check, stream if first is None else chain((first,), stream)


def refuse_broken_promises(file: RemoteFile, *, size: int, digest: str, check: Check | None) -> None:
    """Raise TransientError for another size, digest or checksum than its source promised: it may come whole next time.

    Not RejectedError: that is remembered for the revision, and would keep a good one out for ever.
    """
    if file.size is not None and file.size != size:
        raise TransientError(f"{file.name} has {size} bytes where {file.size} were promised")
    if file.digest is not None and file.digest != digest:
        raise TransientError(f"{file.name} does not have the promised digest")
    if check:
        check.verify()
