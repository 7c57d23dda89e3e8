"""Directories that somebody else can write to as well."""

import errno
import os
import stat
from pathlib import Path

import pytest

from refresher.errors import PermanentError, RejectedError, TransientError
from refresher.filenames import parts_of
from refresher.volume import Directory, explained
from tests.descriptors import descriptors


def test_a_directory_is_open_to_readers_under_any_umask(tmp_path: Path) -> None:
    for umask in (0o077, 0o000):
        before = os.umask(umask)
        try:
            with Directory.at(tmp_path) as volume, volume.made(f"{umask}"):
                assert stat.S_IMODE((tmp_path / f"{umask}").stat().st_mode) == 0o755
        finally:
            os.umask(before)


def test_a_directory_keeps_the_bit_by_which_an_fs_group_reaches_its_files(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    with Directory.at(tmp_path) as volume, volume.made("a"):
        volume.set_mode("a", 0o700)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o2700


def test_a_mode_that_is_right_is_not_set_again(tmp_path: Path) -> None:
    with Directory.at(tmp_path) as volume, volume.made("a"):
        before = (tmp_path / "a").stat().st_ctime_ns
        volume.set_mode("a", 0o755)
        assert (tmp_path / "a").stat().st_ctime_ns == before


def test_neither_a_link_nor_a_file_is_entered(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "file").touch()
    with Directory.at(tmp_path) as volume:
        for name in ("link", "file"):
            with pytest.raises(OSError, match=name):
                volume.made(name)
            with pytest.raises(OSError, match=name):
                volume.set_mode(name, 0o700)


def test_only_a_regular_file_is_opened_and_nothing_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    before = descriptors()
    with Directory.at(tmp_path) as volume:
        for name in ("fifo", "directory", "link"):
            with pytest.raises(PermanentError, match="not a regular file"):
                volume.open(name)
    assert descriptors() <= before


def test_content_is_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    with Directory.at(tmp_path) as volume:
        assert volume.content("file", limit=3) == b"123"
        assert volume.content("file", limit=9) == b"12345"


def test_a_nested_name_never_leads_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/secret").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").symlink_to("../a")
    with Directory.at(tmp_path / "root") as root, pytest.raises(NotADirectoryError):
        root.open_nested("a/secret")


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "doomed").mkdir()
    (tmp_path / "doomed/link").symlink_to("../kept")
    (tmp_path / "link").symlink_to("kept")
    with Directory.at(tmp_path) as volume:
        volume.remove("doomed")
        volume.remove("link")
        volume.remove("nothing")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "kept"]


def test_a_directory_of_any_depth_and_any_mode_is_removed(tmp_path: Path) -> None:
    with Directory.at(tmp_path) as volume:
        (tmp_path / "deep").mkdir()
        fd = os.open(tmp_path / "deep", os.O_RDONLY)
        for _ in range(2000):
            os.mkdir("d", 0o700, dir_fd=fd)
            os.close(os.open("file", os.O_CREAT, dir_fd=fd))
            below = os.open("d", os.O_RDONLY, dir_fd=fd)
            os.fchmod(fd, 0o500)
            os.close(fd)
            fd = below
        os.close(fd)
        volume.remove("deep")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_whole_and_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with Directory.at(tmp_path) as volume:
        volume.put_file("file", b"one", mode=0o640, fsync=True)
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
        (tmp_path / "directory").mkdir()
        with pytest.raises(IsADirectoryError):
            volume.put_file("directory", b"two", mode=0o640, fsync=False)
        with pytest.raises(IsADirectoryError):
            volume.put_link("directory", "file", into=volume)
        (tmp_path / "source").mkdir()
        (tmp_path / "source/directory").touch()
        with volume.child("source") as source, pytest.raises(IsADirectoryError):
            volume.put_hard_link("directory", source, into=volume)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["directory", "file", "source"]


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, TransientError, "is full"),
        (errno.EROFS, PermanentError, "read-only"),
        (errno.EBUSY, PermanentError, "mounted"),
        (errno.EXDEV, PermanentError, "another file system"),
        (errno.EISDIR, PermanentError, "directory stands"),
        (errno.EACCES, PermanentError, "may not write"),
        (errno.ENOTTY, PermanentError, "ioctl"),
    ],
)
def test_an_error_of_the_system_says_what_to_do(tmp_path: Path, number: int, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words), explained(tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_name_with_too_many_parts_is_rejected() -> None:
    assert len(parts_of("a/" * 63 + "a")) == 64
    with pytest.raises(RejectedError, match="too many parts"):
        parts_of("a/" * 64 + "a")
