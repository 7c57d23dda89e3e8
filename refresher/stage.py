"""Staging: what a source offers becomes a candidate on disk, hashed and counted on the way.

Once for all providers: limits, safe names, hashing while copying, going on where a stream broke, final modes. The
files are readable by nobody else until they are complete, and then get the mode that they will be published with.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

from refresher.contract import Fetched, FileSet, RemoteFile, StagedFile
from refresher.errors import RejectedError, TransientError
from refresher.landing import Landing
from refresher.model import SECRET_FILE_LIMIT, Asset, Candidate, Clock, Limits
from refresher.volume import Directory, explained, parts_of

BUFFER = 1024 * 1024
"""Bytes a read: measured on a 2 GiB file, 1 MiB reads into one buffer moved 694 MiB/s, 64 KiB reads 479."""
BREAKS = 3
"""How often in a row a stream may break without a byte of progress before the fetch is given up."""


def stage(fetched: Fetched, *, into: Directory, asset: Asset, published: FileSet | None, clock: Clock) -> Candidate:
    """Copy all files into the open directory `into`: a candidate, of the moment when the last byte came.

    Raises RejectedError (names, limits, a promised digest that doesn't hold), TransientError (broken off, too slow, no
    room), and whatever the source's streams raise.
    """
    _refuse_names(fetched.files)
    _refuse_sizes(fetched.files, asset.limits)
    _require_room(fetched.files, into)
    files = _copy_all(fetched.files, into=into, asset=asset)
    return Candidate(directory=into, files=files, asset=asset.name, now=clock(), fetched=fetched, published=published)


def _copy_all(files: Sequence[RemoteFile], *, into: Directory, asset: Asset) -> dict[str, StagedFile]:
    timeout, limits = asset.refresh.timeout.total_seconds(), asset.limits
    pace = Pace(started=time.monotonic(), timeout=timeout, min_rate=limits.min_rate)
    largest = max(BUFFER if file.size is None else file.size for file in files)
    buffer = memoryview(bytearray(min(BUFFER, largest + 1)))
    staged: dict[str, StagedFile] = {}
    for file in files:
        copy = Copy(file, asset=asset, pace=pace, buffer=buffer)
        staged[file.name] = copy.into(into)
        if pace.received > limits.total:
            raise RejectedError(f"the files are more than limits.total ({limits.total} bytes) together")
    return staged


@dataclass(slots=True)
class Pace:
    """The time that a fetch may take: `timeout` seconds, and one more for every `min_rate` bytes that came."""

    started: float
    timeout: float
    min_rate: int
    received: int = 0

    def count(self, received: int) -> None:
        """Add bytes; TransientError once the source is too slow."""
        self.received += received
        allowed = self.timeout + (self.received / self.min_rate if self.min_rate else float("inf"))
        if time.monotonic() - self.started > allowed:
            raise TransientError(f"too slow: {self.received} bytes in {time.monotonic() - self.started:.0f} s")


class Copy:
    """One file on its way from the source to the disk."""

    def __init__(self, file: RemoteFile, *, asset: Asset, pace: Pace, buffer: memoryview) -> None:
        self.file, self.asset, self.pace, self.buffer = file, asset, pace, buffer
        self.size = 0

    def into(self, root: Directory) -> StagedFile:
        """Write the file below `root`, with its final mode and owner."""
        file = self.file
        limit = _limit(file, self.asset.limits)
        with Landing(root, file.name, sensitive=file.sensitive, limit=limit, publish=self.asset.publish) as landing:
            # Closed at once when the disk fails: the stream is the source's connection.
            with closing(self._chunks()) as chunks:
                for chunk in chunks:
                    self.pace.count(len(chunk))
                    landing.write(chunk)
            _refuse_broken_promises(file, landing)
            return landing.complete()

    def _chunks(self) -> Generator[memoryview, None, None]:
        breaks = 0
        while True:
            before = self.size
            try:
                with closing(self.file.open(self.size)) as stream:
                    while count := stream.readinto(self.buffer):
                        self.size += count
                        yield self.buffer[:count]
            except TransientError:
                # A stream that moved on may break as often as it likes: the next one starts where it stopped.
                breaks = 0 if self.size > before else breaks + 1
                if breaks == BREAKS or self.size == before == 0:
                    raise
            else:
                return


def _refuse_broken_promises(file: RemoteFile, landing: Landing) -> None:
    if file.size is not None and file.size != landing.size:
        raise TransientError(f"{file.name} has {landing.size} bytes where {file.size} were promised")
    if file.digest is not None and file.digest != landing.digest:
        raise RejectedError(f"{file.name} does not have the promised digest")


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
    if sum(file.size or 0 for file in files) > limits.total:
        raise RejectedError(f"the files are more than limits.total ({limits.total} bytes) together")


def _require_room(files: Sequence[RemoteFile], into: Directory) -> None:
    with explained(into.path):
        needed, free = sum(file.size or 0 for file in files), into.free_bytes()
    if needed > free:
        raise TransientError(f"no room: {needed} bytes to fetch and {free} free on the volume")
