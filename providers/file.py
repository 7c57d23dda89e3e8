"""A local file or directory, such as a mounted ConfigMap or Secret.

The source directory is trusted configuration: links in it are followed to wherever they lead, because a mounted volume
consists of them, and only regular files are read. Names that begin with `..` are the volume's own and are skipped.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, field_validator

from refresher.abilities import Observation
from refresher.contract import ByteStream, Fetched, Held, Unchanged
from refresher.errors import PermanentError, RefresherError, TransientError

MOST_FILES = 100_000
"""Files and directories; a walk through more is a mistake in `path`, and would hold up a worker for seconds."""
YOUNG = 100_000_000
"""Nanoseconds. A file that is written twice within a tick of the kernel's clock (1 to 10 ms) can keep its facts."""


class FileOptions(BaseModel):
    """`path`: an absolute path of a file or a directory. `name`: what to call a single file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    connection: ClassVar[frozenset[str]] = frozenset()

    path: Path
    name: str | None = None

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        if not path.is_absolute() or "\0" in str(path):
            raise ValueError("must be an absolute path")
        return path


@dataclass(frozen=True, slots=True)
class Facts:
    """What identifies a file's content without reading it: device, inode, bytes, modification time in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int
    mode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Facts":
        """The facts in a stat result."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)


Seen = Mapping[str, tuple[Path, Facts]]
"""One look at the source: every file's path and facts by its name."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A `RemoteFile` on a local file system."""

    name: str
    path: Path
    facts: Facts

    @property
    def size(self) -> int:
        """Bytes when the source was looked at."""
        return self.facts.size

    @property
    def digest(self) -> None:
        """Nobody promises one."""
        return

    @property
    def sensitive(self) -> bool:
        """A file that others may not read at its source is not made readable for them here."""
        return not self.facts.mode & stat.S_IROTH

    def open(self, offset: int = 0) -> ByteStream:
        """The content from `offset` on. TransientError if it isn't the file any more that was looked at."""
        try:
            # O_NONBLOCK: a FIFO that took the file's place would block the open for ever.
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise _during(self.path, error) from error
        stream = FileStream(fd, self.path)
        if Facts.of(os.fstat(fd)) != self.facts:
            stream.close()
            raise TransientError(f"{self.path} changed while it was fetched")
        os.lseek(fd, offset, os.SEEK_SET)
        return stream


class FileStream:
    """An open file as a byte stream."""

    def __init__(self, fd: int, path: Path) -> None:
        self._file, self._path = os.fdopen(fd, "rb", buffering=0), path

    def readinto(self, buffer: memoryview, /) -> int:
        """Read up to `len(buffer)` bytes, 0 at the end; TransientError if the file system fails."""
        try:
            return self._file.readinto(buffer) or 0
        except OSError as error:
            raise _during(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class FileProvider:
    """One file, or all files of a directory. `clock` answers nanoseconds since the epoch, as file systems do."""

    Options = FileOptions

    def __init__(self, options: FileOptions, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._options, self._clock = options, clock

    @classmethod
    def from_url(cls, url: str) -> Mapping[str, Any]:
        """`file:///path` as options. ValueError for another host than this one."""
        parts = urlsplit(url)
        if parts.scheme != "file" or parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
            raise ValueError("must be file:///path, without host, query or fragment")
        return {"path": unquote(parts.path)}

    @property
    def watched(self) -> list[Path]:
        """The file or the directory, or whatever comes there: the core sees which it is, and where links lead."""
        return [self._options.path]

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        """Unchanged if every file's facts are those of `held`. Leaving looks again; see `Provider.fetch`."""
        now = self._clock()
        seen = self._look()
        revision = _revision(seen, now)
        if held is not None and held.revision == revision:
            yield Unchanged()
            return
        files = [LocalFile(name, path, facts) for name, (path, facts) in seen.items()]
        yield Fetched(revision=revision, files=files)
        if self._look() != seen:
            raise TransientError(f"{self._options.path} changed while it was fetched")

    def diagnose(self) -> Iterator[Observation]:
        """Whether the files are there, and may be read. Raises as a fetch does."""
        seen = self._look()
        unreadable = [str(path) for path, _ in seen.values() if not os.access(path, os.R_OK)]
        count = f"{len(seen)} file{'' if len(seen) == 1 else 's'}"
        yield Observation.ok("path", f"{self._options.path} is there: {count}")
        if unreadable:
            advice = "Let this user read it (see fsGroup, or defaultMode of the mounted volume)."
            yield Observation.fail("right to read", f"{unreadable[0]} can't be read by user {os.geteuid()}", advice)
        else:
            yield Observation.ok("right to read", f"user {os.geteuid()} may read all of it")

    def _look(self) -> Seen:
        path, name = self._options.path, self._options.name
        status = _first_look(path)
        if not stat.S_ISDIR(status.st_mode):
            return {name or path.name: (path, _regular(path, status))}
        if name is not None:
            raise PermanentError(f"{path} is a directory: `name` is for a single file")
        seen = dict(islice(_walk(path, "", [(status.st_dev, status.st_ino)]), MOST_FILES + 1))
        if not seen:
            raise PermanentError(f"{path} has no files, and nothing empty is published")
        if len(seen) > MOST_FILES:
            raise PermanentError(f"{path} has more than {MOST_FILES} files")
        return seen


def _walk(directory: Path, below: str, above: list[tuple[int, int]]) -> Iterator[tuple[str, tuple[Path, Facts]]]:
    """Every file below `directory`, links followed, in the order of names; `above`: the directories on the way."""
    for name in _names(directory):
        path = directory / name
        status = _look_at(path)
        if not stat.S_ISDIR(status.st_mode):
            yield below + name, (path, _regular(path, status))
            continue
        here = (status.st_dev, status.st_ino)
        if here in above:
            raise PermanentError(f"{path} leads back to a directory above it")
        yield from _walk(path, f"{below}{name}/", [*above, here])


def _names(directory: Path) -> list[str]:
    try:
        names = [name for name in os.listdir(directory) if not name.startswith("..")]
    except OSError as error:
        raise _during(directory, error) from error
    if len(names) > MOST_FILES:
        raise PermanentError(f"{directory} has more than {MOST_FILES} files")
    return sorted(names)


def _first_look(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PermanentError(f"{path} does not exist") from error
    except OSError as error:
        raise _during(path, error) from error


def _look_at(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _during(path, error) from error


def _regular(path: Path, status: os.stat_result) -> Facts:
    if not stat.S_ISREG(status.st_mode):
        raise PermanentError(f"{path} is not a regular file")
    return Facts.of(status)


def _revision(seen: Seen, now: int) -> str:
    """A digest over all facts. A young file's facts prove nothing yet, so that revision equals no other."""
    facts = repr([(name, facts) for name, (_, facts) in seen.items()])
    digest = hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()
    youngest = max(facts.modified for _, facts in seen.values())
    return f"{digest}-{now}" if now - youngest < YOUNG else digest


def _during(path: Path, error: OSError) -> RefresherError:
    """What an operating system's error means: no right is lasting, everything else (gone, stale, I/O) may pass."""
    if isinstance(error, PermissionError):
        return PermanentError(f"{path} can't be read: {error.strerror}")
    return TransientError(f"{path} can't be read at the moment: {error.strerror}")
