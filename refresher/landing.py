"""One file on its way to the disk: written, hashed, looked at for a private key, and given its final mode.

It is readable by nobody else until it is complete.
"""

import hashlib
import os
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Protocol, Self

from refresher.contract import StagedFile
from refresher.errors import PermanentError, RejectedError
from refresher.model import Limits, Publish
from refresher.nested import above
from refresher.volume import Directory, explained
from refresher.writing import Writing

PRIVATE_KEY = b"PRIVATE KEY-----"
"""Part of every PEM private key's first line (RFC 7468 and OpenSSL's older forms)."""
KEY_LIMIT = 1024 * 1024
"""Bytes of a file that are searched for a private key; a chain of a hundred certificates has under 200 KiB with it."""
SIDE_BY_SIDE = 512 * 1024
"""Bytes of a chunk from which on hashing it beside writing it is worth waking a thread."""


class Updated(Protocol):
    """What is fed the file's bytes: a hash, say."""

    def update(self, chunk: memoryview, /) -> None:
        """The next bytes."""
        ...


class Landing:
    """A file below `root`, written from its beginning to its end; a context manager that closes it.

    `write` raises RejectedError beyond `limit` bytes, TransientError or PermanentError when the disk fails.
    """

    def __init__(self, root: Directory, name: str, *, sensitive: bool, limit: int, publish: Publish) -> None:
        self.name, self.size = name, 0
        self._root, self._publish, self._limit = root, publish, limit
        self._sha256 = hashlib.sha256()
        self._fed: list[Updated] = [self._sha256]
        self._sensitive, self._is_key, self._tail = sensitive, False, b""
        self._closing = ExitStack()
        with explained(root.path), above(root, name, reach=Directory.made) as (directory, last):
            self._fd = self._begun(directory, last)
            self._closing.callback(os.close, self._fd)
        self._writing = Writing(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    @property
    def digest(self) -> str:
        """`sha256:…` of what was written."""
        return f"sha256:{self._sha256.hexdigest()}"

    def feed(self, other: Updated) -> None:
        """Have something else see all bytes, those that are written already included."""
        if self.size:  # else it would only cost system calls, two for each of a thousand small files
            with explained(self._root.path):
                for chunk in self._writing.written():
                    other.update(chunk)
        self._fed.append(other)

    def write(self, chunk: memoryview) -> None:
        """The next bytes."""
        self._admit(chunk)
        with explained(self._root.path):
            if len(chunk) < SIDE_BY_SIDE:
                self._feed(chunk)
                self._writing.write(chunk)
            else:
                self._feed_and_write(chunk)

    def complete(self) -> StagedFile:
        """Give it its final mode and owner; its facts."""
        with explained(self._root.path):
            self._own()
            modified = os.fstat(self._fd).st_mtime_ns
        sensitive = self._sensitive or self._is_key
        return StagedFile(size=self.size, digest=self.digest, sensitive=sensitive, mode=self._mode(), modified=modified)

    def hurry(self) -> None:
        """Have the disk begin with what has come: it will be waited for, unless nothing has to be durable."""
        if self._publish.fsync:
            with explained(self._root.path):
                self._writing.begin_the_rest()

    @staticmethod
    def _begun(directory: Directory, name: str) -> int:
        return directory.create(name)

    def _admit(self, chunk: memoryview) -> None:
        self.size += len(chunk)
        if self.size > self._limit:
            named = Limits.named(sensitive=self._sensitive)
            raise RejectedError(f"{self.name} is larger than its limit of {self._limit} bytes ({named})")
        self._look_for_key(chunk)

    def _feed(self, chunk: memoryview) -> None:
        for each in self._fed:
            each.update(chunk)

    def _feed_and_write(self, chunk: memoryview) -> None:
        hashing = self._hasher.submit(self._feed, chunk)
        try:
            self._writing.write(chunk)
        finally:
            # Whatever the disk says: the chunk's buffer is filled anew next.
            hashing.result()

    @cached_property
    def _hasher(self) -> Executor:
        return self._closing.enter_context(ThreadPoolExecutor(1, "hashing"))

    def _look_for_key(self, chunk: memoryview) -> None:
        if self.size <= KEY_LIMIT and not self._is_key:
            text = self._tail + bytes(chunk)
            self._is_key, self._tail = PRIVATE_KEY in text, text[-len(PRIVATE_KEY) :]

    def _own(self) -> None:
        owner, group = ids_of(self._publish)
        # In this order: who may give a file away may still have no right to change the mode of somebody else's.
        os.fchmod(self._fd, self._mode())
        if owner != -1 or group != -1:
            os.fchown(self._fd, owner, group)

    def _mode(self) -> int:
        return self._publish.key_mode if self._is_key else mode_of(self._publish, sensitive=self._sensitive)


class Resumed(Landing):
    """The same, begun with what an earlier transfer left under that name, if it left anything."""

    def __init__(self, root: Directory, name: str, *, sensitive: bool, limit: int, publish: Publish) -> None:
        super().__init__(root, name, sensitive=sensitive, limit=limit, publish=publish)
        with explained(root.path), ExitStack() as unless_caught_up:
            unless_caught_up.callback(self._closing.close)
            self._catch_up()
            unless_caught_up.pop_all()

    @staticmethod
    def _begun(directory: Directory, name: str) -> int:
        return directory.reopen(name) or directory.create(name)

    def _catch_up(self) -> None:
        for chunk in self._writing.written():
            self._admit(chunk)
            self._feed(chunk)


def mode_of(publish: Publish, *, sensitive: bool) -> int:
    """The mode of a file that is no private key."""
    if publish.mode is not None:
        return publish.mode
    return 0o640 if sensitive else 0o644


def ids_of(publish: Publish) -> tuple[int, int]:
    """The user and group to give files to, -1 for: as they are. Raises PermanentError for what is no number."""
    user, _, group = (publish.owner or "").partition(":")
    try:
        return int(user or -1), int(publish.group or group or -1)
    except ValueError:
        raise PermanentError("publish.owner must be uid[:gid] and publish.group a gid, as numbers") from None
