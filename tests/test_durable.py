"""What was staged is on the disk before anything leads to it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refresher.cycle import refresh
from refresher.durable import MANY, make_durable
from refresher.errors import TransientError
from refresher.model import Publish, Result, Wish
from refresher.volume import Directory
from tests.fakes.source import Source, Time, asset

PROGRAM = """
import os, sys
from pathlib import Path
from threading import Event, Thread
from refresher.durable import make_durable
from refresher.volume import Directory

begun = Event()
os.fsync = lambda _: begun.set() or Event().wait()
Thread(target=make_durable, args=[Directory.at(Path(sys.argv[1]))], daemon=True).start()
begun.wait()
"""


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for number in range(5 * MANY):
        (tmp_path / str(number)).write_text("x")
    return tmp_path


def test_a_disk_that_hangs_does_not_hold_up_the_end(many: Path) -> None:
    assert subprocess.run([sys.executable, "-c", PROGRAM, str(many)], check=False, timeout=30).returncode == 0


def test_every_file_is_waited_for_and_one_that_fails_fails_all(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda fd: waited.add(os.fstat(fd).st_ino))
    with Directory.at(many) as directory:
        make_durable(directory)
    assert waited == {path.stat().st_ino for path in (many, *many.iterdir())}

    def broken(fd: int) -> None:
        if os.fstat(fd).st_ino == (many / "7").stat().st_ino:
            raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", broken)
    with Directory.at(many) as directory, pytest.raises(TransientError, match="EIO"):
        make_durable(directory)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of the files that the disk was made to begin with."""
    inodes: list[int] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda fd, *_: inodes.append(os.fstat(fd).st_ino))
    return inodes


def test_the_disk_begins_with_each_file_as_it_is_complete(tmp_path: Path, begun: list[int]) -> None:
    one = asset(tmp_path, Source({"a": b"one", "b": b"two"}))
    assert refresh(one, wish=Wish.RENEW, clock=Time()).outcome.result is Result.PUBLISHED
    assert sorted(begun) == sorted((tmp_path / "web" / name).stat().st_ino for name in "ab")


def test_the_disk_is_left_alone_where_nothing_has_to_be_durable(tmp_path: Path, begun: list[int]) -> None:
    one = asset(tmp_path, Source(), publish=Publish(fsync=False))
    assert refresh(one, wish=Wish.RENEW, clock=Time()).outcome.result is Result.PUBLISHED
    assert not begun


def test_the_disk_is_left_alone_when_the_same_content_comes_again(tmp_path: Path, begun: list[int]) -> None:
    one = asset(tmp_path, Source(revision=""))
    assert refresh(one, wish=Wish.RENEW, clock=Time()).outcome.result is Result.PUBLISHED
    begun.clear()
    assert refresh(one, wish=Wish.RENEW, clock=Time()).outcome.result is Result.UNCHANGED
    assert not begun
