"""One file on its way to the disk: written, hashed, looked at for a private key, and given its final mode.

It is readable by nobody else until it is complete.
"""

import hashlib
import os
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from refresher.contract import StagedFile
from refresher.errors import PermanentError, RejectedError
from refresher.model import Publish
from refresher.volume import Directory, explained, parts_of

PRIVATE_KEY = b"PRIVATE KEY-----"
"""Part of every PEM private key's first line (RFC 7468 and OpenSSL's older forms)."""
KEY_LIMIT = 1024 * 1024
"""Bytes of a file that are searched for a private key; a chain of a hundred certificates with its key is under 200
KiB.
"""


class Landing:
    """A new file below `root`, written from its beginning to its end; a context manager that closes it.

    `write` raises RejectedError beyond `limit` bytes, TransientError or PermanentError when the disk fails.
    """

    def __init__(self, root: Directory, name: str, *, sensitive: bool, limit: int, publish: Publish) -> None:
        self.name, self.size = name, 0
        self._root, self._publish, self._limit = root, publish, limit
        self._digest = hashlib.sha256()
        self._sensitive, self._is_key, self._tail = sensitive, False, b""
        with explained(root.path):
            self._fd = _created(root, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    @property
    def digest(self) -> str:
        """`sha256:…` of what was written."""
        return f"sha256:{self._digest.hexdigest()}"

    def write(self, chunk: memoryview) -> None:
        """The next bytes."""
        self.size += len(chunk)
        if self.size > self._limit:
            raise RejectedError(f"{self.name} is larger than its limit of {self._limit} bytes")
        self._look_for_key(chunk)
        self._digest.update(chunk)
        with explained(self._root.path):
            _write(self._fd, chunk)

    def complete(self) -> StagedFile:
        """Give it its final mode and owner; its facts."""
        with explained(self._root.path):
            self._own()
        sensitive = self._sensitive or self._is_key
        return StagedFile(size=self.size, digest=self.digest, sensitive=sensitive, mode=self._mode())

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
        if self._is_key:
            return self._publish.key_mode
        if self._publish.mode is not None:
            return self._publish.mode
        return 0o640 if self._sensitive else 0o644


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
