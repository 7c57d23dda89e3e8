"""A model on its way must not push everybody else's files out of the node's page cache."""

import ctypes
import hashlib
import io
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis.strategies import lists, sampled_from

from refresher.contract import Fetched, Held, Unchanged
from refresher.cycle import begin, refresh
from refresher.model import Result, Wish
from refresher.rereading import pieces
from refresher.writing import Writing
from tests.fakes.source import Source, Time, asset

MiB = 2**20


@dataclass
class Zeros(io.RawIOBase):
    left: int

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self.left)
        buffer[:count] = bytes(count)
        self.left -= count
        return count


@dataclass
class Model:
    """A large file of zeros."""

    size: int
    name: str = "model.bin"
    digest: str | None = None
    sensitive: bool = False

    def open(self, offset: int = 0) -> Zeros:
        return Zeros(self.size - offset)


class Models(Source):
    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        yield Fetched(revision="r1", files=[Model(256 * MiB)])


def cached(path: Path) -> float:
    """The share of a file that is in the page cache: `mincore(2)`, which tells a file's owner."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        address = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None).mincore(ctypes.byref(address), ctypes.c_size_t(len(mapped)), pages)
        del address  # or the mapping could not be closed
    assert not failed
    return sum(page & 1 for page in pages) / len(pages)


def forget(path: Path) -> None:
    """Have the file on the disk alone, where there is one."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def can_forget(directory: Path) -> bool:
    """Whether a file there can be on a disk and not in memory: not so on a tmpfs."""
    path = directory / "forgotten"
    path.write_bytes(bytes(MiB))
    assert cached(path) == 1.0
    forget(path)
    return cached(path) == 0.0


def pages(size: int) -> memoryview:
    """Random bytes in whole pages of their own."""
    memory = memoryview(mmap.mmap(-1, size))
    memory[:] = os.urandom(size)
    return memory


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a real disk, wherever this machine has one."""
    for above in (tmp_path, Path("/var/tmp"), Path(__file__).parent):
        with tempfile.TemporaryDirectory(dir=above) as made:
            if can_forget(Path(made)):
                yield Path(made)
                return
    pytest.fail("no directory on a disk")


def test_of_a_large_file_little_stays_in_the_page_cache(disk: Path) -> None:
    assert refresh(asset(disk, Models()), wish=Wish.RENEW, clock=Time()).outcome.result is Result.PUBLISHED
    shown = disk / "web/model.bin"
    assert shown.stat().st_size == 256 * MiB
    assert cached(shown.resolve()) < 0.5


def test_a_start_reads_what_is_held_without_bringing_it_into_the_page_cache(disk: Path) -> None:
    one = asset(disk, Models())
    assert refresh(one, wish=Wish.RENEW, clock=Time()).outcome.result is Result.PUBLISHED
    shown = (disk / "web/model.bin").resolve()
    forget(shown)
    assert begin(one).current
    assert cached(shown) < 0.1


def test_what_the_app_has_in_the_page_cache_stays_there_at_a_start(disk: Path) -> None:
    one = asset(disk, Models())
    assert refresh(one, wish=Wish.RENEW, clock=Time()).outcome.result is Result.PUBLISHED
    shown = (disk / "web/model.bin").resolve()
    forget(shown)
    with shown.open("rb") as file:
        file.read(64 * MiB)
    assert begin(one).current
    assert cached(shown) > 0.2


def test_a_page_that_the_app_lacks_costs_it_no_others_at_a_start(disk: Path) -> None:
    path = disk / "used"
    content = os.urandom(4 * MiB)
    path.write_bytes(content)
    forget(path)
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for at in range(0, 4 * MiB, mmap.PAGESIZE):
            if at != MiB + 5 * mmap.PAGESIZE:
                os.pread(file.fileno(), mmap.PAGESIZE, at)
        assert 0.99 < cached(path) < 1.0
        assert b"".join(map(bytes, pieces(file.fileno()))) == content
    assert cached(path) > 0.99


OLDER = """
import os, sys
del os.RWF_NOWAIT
from refresher.rereading import pieces
with open(sys.executable, "rb") as file:
    assert b"".join(map(bytes, pieces(file.fileno()))) == file.read()
"""


def test_a_python_that_can_not_ask_the_page_cache_reads_all_the_same() -> None:
    subprocess.run([sys.executable, "-c", OLDER], check=True, timeout=60)


def test_whole_blocks_never_enter_the_page_cache(disk: Path) -> None:
    content = pages(4 * MiB)
    with (disk / "model.bin").open("w+b", buffering=0) as file:
        Writing(file.fileno()).write(content)
    assert cached(disk / "model.bin") == 0.0
    assert (disk / "model.bin").read_bytes() == content


@settings(deadline=None)
@given(sizes=lists(sampled_from([1, 4095, 4096, MiB // 2, MiB // 2 + 1, MiB]), max_size=12), shift=sampled_from([0, 1]))
def test_whatever_the_pieces_the_file_is_all_of_them_in_order(
    sizes: list[int], shift: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content, path = pages(sum(sizes) + MiB)[shift:], tmp_path_factory.mktemp("pieces") / "model.bin"
    with path.open("w+b", buffering=0) as file:
        writing, at = Writing(file.fileno()), 0
        for size in sizes:
            writing.write(content[at : at + size])
            at += size
    assert path.read_bytes() == content[:at]


def test_what_was_written_directly_can_be_read_back_and_gone_on_from(disk: Path) -> None:
    content, seen = pages(3 * MiB), hashlib.sha256()
    with (disk / "model.bin").open("w+b", buffering=0) as file:
        writing = Writing(file.fileno())
        writing.write(content[:MiB])
        for chunk in writing.written():
            seen.update(chunk)
        writing.write(content[MiB:])
    assert seen.digest() == hashlib.sha256(content[:MiB]).digest()
    assert (disk / "model.bin").read_bytes() == content


def test_a_device_that_is_full_is_an_error_and_no_reason_to_try_another_way() -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full, pytest.raises(OSError, match="No space left"):
        Writing(full.fileno()).write(pages(MiB))
