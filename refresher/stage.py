"""Staging: what a source offers becomes a candidate on disk, hashed and counted on the way.

Once for all providers: limits, safe names, hashing while copying, going on where a stream broke, final modes. The
files are readable by nobody else until they are complete, and then get the mode that they will be published with.
"""

import hashlib
import os
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from refresher.contract import Fetched, FileSet, RemoteFile, StagedFile
from refresher.errors import PermanentError, RejectedError, TransientError
from refresher.model import SECRET_FILE_LIMIT, Asset, Candidate, Clock, Limits, Publish
from refresher.volume import Directory, explained, parts_of

BUFFER = 1024 * 1024
"""Bytes a read: measured on a 2 GiB file, 1 MiB reads into one buffer moved 694 MiB/s, 64 KiB reads 479."""
BREAKS = 3
"""How often in a row a stream may break without a byte of progress before the fetch is given up."""
PRIVATE_KEY = b"PRIVATE KEY-----"
"""Part of every PEM private key's first line (RFC 7468 and OpenSSL's older forms)."""
KEY_LIMIT = 1024 * 1024
"""Bytes of a file that are searched for a private key; a chain of a hundred certificates with its key is under 200
KiB.
"""


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
        copy = Copy(file, publish=asset.publish, limit=_limit(file, limits), pace=pace, buffer=buffer)
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

    def __init__(self, file: RemoteFile, *, publish: Publish, limit: int, pace: Pace, buffer: memoryview) -> None:
        self.file, self.publish, self.limit, self.pace, self.buffer = file, publish, limit, pace, buffer
        self.digest = hashlib.sha256()
        self.size = 0
        self.is_key = False
        self.tail = b""

    def into(self, root: Directory) -> StagedFile:
        """Write the file below `root`, with its final mode and owner."""
        with explained(root.path):
            fd = _created(root, self.file.name)
        try:
            # Closed at once when the disk fails: the stream is the source's connection.
            with closing(self._chunks()) as chunks:
                for chunk in chunks:
                    self._count(chunk)
                    with explained(root.path):
                        _write(fd, chunk)
            self._refuse_broken_promises()
            with explained(root.path):
                self._own(fd)
        finally:
            os.close(fd)
        sensitive = self.file.sensitive or self.is_key
        return StagedFile(
            size=self.size, digest=f"sha256:{self.digest.hexdigest()}", sensitive=sensitive, mode=self._mode()
        )

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

    def _count(self, chunk: memoryview) -> None:
        self.pace.count(len(chunk))
        if self.size > self.limit:
            raise RejectedError(f"{self.file.name} is larger than its limit of {self.limit} bytes")
        self._look_for_key(chunk)
        self.digest.update(chunk)

    def _look_for_key(self, chunk: memoryview) -> None:
        if self.size <= KEY_LIMIT and not self.is_key:
            text = self.tail + bytes(chunk)
            self.is_key, self.tail = PRIVATE_KEY in text, text[-len(PRIVATE_KEY) :]

    def _refuse_broken_promises(self) -> None:
        promised = self.file.size
        if promised is not None and promised != self.size:
            raise TransientError(f"{self.file.name} has {self.size} bytes where {promised} were promised")
        if self.file.digest is not None and self.file.digest != f"sha256:{self.digest.hexdigest()}":
            raise RejectedError(f"{self.file.name} does not have the promised digest")

    def _own(self, fd: int) -> None:
        owner, group = ids_of(self.publish)
        # In this order: who may give a file away may still have no right to change the mode of somebody else's.
        os.fchmod(fd, self._mode())
        if owner != -1 or group != -1:
            os.fchown(fd, owner, group)

    def _mode(self) -> int:
        if self.is_key:
            return self.publish.key_mode
        if self.publish.mode is not None:
            return self.publish.mode
        return 0o640 if self.file.sensitive else 0o644


def ids_of(publish: Publish) -> tuple[int, int]:
    """The user and group to give files to, -1 for: as they are. Raises PermanentError for what is no number."""
    user, _, group = (publish.owner or "").partition(":")
    try:
        return int(user or -1), int(publish.group or group or -1)
    except ValueError:
        raise PermanentError("publish.owner must be uid[:gid] and publish.group a gid, as numbers") from None


def _created(root: Directory, name: str) -> int:
    *above, last = parts_of(name)
    with ExitStack() as opened:
        directory = root
        for part in above:
            directory = opened.enter_context(directory.made(part))
        return directory.create(last)


def _write(fd: int, chunk: memoryview) -> None:
    while chunk:
        chunk = chunk[os.write(fd, chunk) :]


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
