"""What an archive holds, as it says itself: nothing of this is trusted."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A regular file: the bytes it promises to have, and those that come, each piece valid until the next one."""

    name: str
    size: int
    content: Iterator[memoryview]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Another name of a file; `target` is relative to the archive, and may lead out of it."""

    name: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A directory."""

    name: str


Member = File | Link | Folder
