"""What was staged is on the disk before anything leads to it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refresher.durable import MANY, make_durable
from refresher.errors import TransientError
from refresher.volume import Directory

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
