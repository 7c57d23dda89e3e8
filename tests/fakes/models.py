"""Large files in memory that speak all that remote files can: revisions, ranges, checksums; with all troubles."""

import random
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from refresher.contract import Fetched, Held, Unchanged
from refresher.errors import TransientError

MiB = 1024 * 1024


def content(size: int, *, seed: int = 1) -> bytes:
    """Bytes that no two positions or seeds share."""
    return random.Random(seed).randbytes(size)


class Crc:
    """A running CRC32, expected to be `expected` in the end."""

    def __init__(self, expected: int) -> None:
        self.expected, self.value = expected, 0

    def update(self, chunk: memoryview) -> None:
        self.value = zlib.crc32(chunk, self.value)

    def verify(self) -> None:
        if self.value != self.expected:
            raise TransientError("the checksum is another one than the source sent")


@dataclass
class Model:
    """One large file. `breaks` are the bytes after which each stream ends in an error, `delay` the seconds a read."""

    name: str
    content: bytes = field(repr=False)
    revision: str = "v1"
    ranged: bool = True
    digest: str | None = None
    crc: int | None = None
    breaks: list[int] = field(default_factory=list)
    delay: float = 0.0
    most: int = 256 * 1024
    sensitive: bool = False
    trouble: Exception | None = None
    opened: list[tuple[int, int]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    moved: int = 0
    lock: Lock = field(default_factory=Lock)

    @property
    def size(self) -> int | None:
        return len(self.content)

    def open(self, offset: int = 0) -> "Stream":
        return self._open(offset, len(self.content))

    def open_range(self, offset: int, size: int) -> "Stream":
        assert self.ranged
        return self._open(offset, offset + size)

    def check(self) -> Crc | None:
        return None if self.crc is None else Crc(self.crc)

    def _open(self, start: int, end: int) -> "Stream":
        with self.lock:
            if self.trouble:
                raise self.trouble
            self.opened.append((start, end))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            good = self.breaks.pop(0) if self.breaks else None
        return Stream(self, memoryview(self.content)[start:end], good)


class Unmeasured(Model):
    """One that doesn't say how long it is."""

    @property
    def size(self) -> None:
        return None


class Stream:
    def __init__(self, model: Model, left: memoryview, good: int | None) -> None:
        self.model, self.left, self.good = model, left, good

    def readinto(self, buffer: memoryview) -> int:
        time.sleep(self.model.delay)
        if self.good == 0:
            raise TransientError("connection reset")
        count = min(len(buffer), len(self.left), self.model.most, len(buffer) if self.good is None else self.good)
        buffer[:count], self.left = self.left[:count], self.left[count:]
        if self.good is not None:
            self.good -= count
        with self.model.lock:
            self.model.moved += count
        return count

    def close(self) -> None:
        with self.model.lock:
            self.model.at_once -= 1


@dataclass
class Models:
    """A source of large files; `revision` names them all together."""

    files: Sequence[Model]
    revision: str = "r1"

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        if held and held.revision == self.revision:
            yield Unchanged()
        else:
            yield Fetched(revision=self.revision, files=self.files)
