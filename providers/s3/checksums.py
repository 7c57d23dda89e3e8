"""The checksums that S3 sends with an object, computed again while its bytes arrive.

One covers the whole object, or, *composite*, the checksums of its parts one after the other; its value then ends in
`-` and their count, and who checks it has to know where the parts ended (S3 User Guide, "Checking object integrity").
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, Self

from awscrt import checksums
from zlib_ng import zlib_ng

from refresher.errors import TransientError

HEADER = "x-amz-checksum-"
_COUNT = re.compile(r"[1-9][0-9]{0,4}")


class Sum(Protocol):
    """A running checksum."""

    def update(self, chunk: memoryview, /) -> object:
        """The next bytes."""
        ...

    def digest(self) -> bytes:
        """The checksum so far, as S3 writes it before the base64: big-endian."""
        ...


class _Crc:
    """A checksum whose library has one function: bytes and the sum so far to the new sum."""

    def __init__(self, add: Callable[[memoryview, int], int], size: int) -> None:
        self._add, self._size, self._sum = add, size, 0

    def update(self, chunk: memoryview, /) -> None:
        self._sum = self._add(chunk, self._sum)

    def digest(self) -> bytes:
        return self._sum.to_bytes(self._size, "big")


KINDS: Mapping[str, Callable[[], Sum]] = {
    "crc64nvme": lambda: _Crc(checksums.crc64nvme, 8),
    "crc32c": lambda: _Crc(checksums.crc32c, 4),
    "crc32": lambda: _Crc(zlib_ng.crc32, 4),
    "sha256": hashlib.sha256,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha512": hashlib.sha512,
}
"""What can be checked, the cheapest first."""


class Checksum(NamedTuple):
    """What the server says: kind, value, and of how many parts' checksums it is one (0: of the whole object)."""

    kind: str
    value: bytes
    parts: int

    @classmethod
    def told(cls, headers: Mapping[str, str]) -> Self | None:
        """The one that can be checked with the least work; None if the headers hold none of a known kind."""
        found = [cls._read(kind, headers[HEADER + kind]) for kind in KINDS if HEADER + kind in headers]
        # One of the whole object first: for the others one has to ask for the parts.
        return min((each for each in found if each), key=lambda each: bool(each.parts), default=None)

    @classmethod
    def _read(cls, kind: str, text: str) -> Self | None:
        encoded, dash, count = text.strip().partition("-")
        try:
            value = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            return None
        known = len(value) == len(KINDS[kind]().digest()) and (not dash or _COUNT.fullmatch(count))
        return cls(kind, value, int(count) if dash else 0) if known else None

    @property
    def digest(self) -> str | None:
        """The object's SHA-256 as `sha256:…`, if that is what it is."""
        return f"sha256:{self.value.hex()}" if self.kind == "sha256" and not self.parts else None


class WholeCheck:
    """A `Check` of one checksum over all bytes."""

    def __init__(self, promised: Checksum, name: str) -> None:
        self._promised, self._name = promised, name
        self._sum = KINDS[promised.kind]()

    def update(self, chunk: memoryview, /) -> None:
        """The file's next bytes."""
        self._sum.update(chunk)

    def verify(self) -> None:
        """Raises TransientError if the checksum isn't the promised one."""
        _compare(self._sum.digest(), self._promised, self._name)


class PartsCheck:
    """A `Check` of one checksum over those of the parts, whose sizes in bytes are `sizes`."""

    def __init__(self, promised: Checksum, name: str, sizes: Sequence[int]) -> None:
        self._promised, self._name, self._sizes = promised, name, iter(sizes)
        self._of_parts = KINDS[promised.kind]()
        self._begin()

    def _begin(self) -> None:
        self._part, self._left = KINDS[self._promised.kind](), next(self._sizes, 0)

    def update(self, chunk: memoryview, /) -> None:
        """The file's next bytes."""
        while self._left and len(chunk) >= self._left:
            self._part.update(chunk[: self._left])
            self._of_parts.update(memoryview(self._part.digest()))
            chunk = chunk[self._left :]
            self._begin()
        self._part.update(chunk)
        self._left -= len(chunk) if self._left else 0

    def verify(self) -> None:
        """Raises TransientError if the checksum isn't the promised one."""
        _compare(self._of_parts.digest(), self._promised, self._name)


def _compare(found: bytes, promised: Checksum, name: str) -> None:
    if found != promised.value:
        kind = promised.kind.upper()
        raise TransientError(f"{name} arrived damaged: its {kind} is {found.hex()}, not {promised.value.hex()}")
