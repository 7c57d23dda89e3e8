"""Digests that an HTTP server sends for its answers (RFC 9530), read and checked."""

import hashlib
from collections.abc import Mapping
from typing import Any

from http_sf import StructuredFieldError, parse

from refresher.errors import TransientError

SIZES = {"sha-256": 32, "sha-512": 64}
"""Bytes of the digests that count: those that RFC 9530, 7.2 calls active. Anybody can make a file for the others."""


def digests_of(field: str) -> dict[str, bytes]:
    """The digests in a Repr-Digest or Content-Digest, by algorithm.

    What has an unknown algorithm, or is no digest at all, is left out (RFC 9530, 2 and 3: a recipient may ignore any).
    """
    try:
        members: Any = parse(field.encode(), tltype="dictionary")
    except StructuredFieldError:
        return {}
    return {name: value for name, (value, _) in members.items() if _is_digest(name, value)}


def _is_digest(name: str, value: object) -> bool:
    return isinstance(value, bytes) and len(value) == SIZES.get(name)


def of_the_whole(headers: Mapping[str, str], name: str) -> dict[str, bytes]:
    """Digests of the file `name`, from an answer that is all of it: there, content and representation are the same.

    TransientError if they contradict each other.
    """
    representation, content = (digests_of(headers.get(field, "")) for field in ("Repr-Digest", "Content-Digest"))
    if any(content[each] != representation[each] for each in content.keys() & representation.keys()):
        raise TransientError(f"{name} comes with two digests that contradict each other")
    return content | representation


class Sha512Check:
    """The `Check` of a file that its server sends a SHA-512 digest for."""

    def __init__(self, expected: bytes, name: str) -> None:
        self._expected, self._name = expected, name
        self._sum = hashlib.sha512()

    def update(self, chunk: memoryview, /) -> None:
        """The file's next bytes."""
        self._sum.update(chunk)

    def verify(self) -> None:
        """TransientError if the bytes aren't those that the server computed its digest of: damaged on the way."""
        if self._sum.digest() != self._expected:
            raise TransientError(f"{self._name} does not have the SHA-512 digest that its server sent")
