"""What a source's files can do, they can do under their names in the asset; and no more."""

import dataclasses
import errno
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import pytest

from refresher.abilities import Check, Checked, Ranged, Versioned
from refresher.contract import ByteStream, Fetched, FileSet, InlineFile, RemoteFile, StagedFile
from refresher.errors import TransientError
from refresher.held_file import HeldFile
from refresher.model import FilesOnDisk
from refresher.sources.files import held, placed
from refresher.sources.parts import Part, Published, is_whole
from refresher.volume import Directory

CONTENT = b"0123456789"


@dataclass(frozen=True)
class Bare:
    """A remote file without abilities."""

    name: str = "model.bin"
    size: int | None = len(CONTENT)
    digest: str | None = None
    sensitive: bool = True

    def open(self, offset: int = 0) -> ByteStream:
        return io.BytesIO(CONTENT[offset:])


@dataclass(frozen=True)
class Able(Bare):
    """One with all of them."""

    revision: str = "v7"
    ranged: bool = True

    def open_range(self, offset: int, size: int) -> ByteStream:
        return io.BytesIO(CONTENT[offset : offset + size])

    def check(self) -> Check | None:
        return Never()


class Never:
    """A check that never holds."""

    def update(self, chunk: memoryview, /) -> None:
        pass

    def verify(self) -> None:
        raise TransientError("damaged")


def one(file: RemoteFile, *, minted: bool = False) -> RemoteFile:
    (found,) = placed("model", Fetched(revision="r1", files=[file], minted=minted))
    return found


def test_a_file_keeps_what_its_source_says_of_it() -> None:
    file = one(Bare())
    assert (file.name, file.size, file.digest, file.sensitive) == ("model/model.bin", 10, None, True)
    with closing(file.open(7)) as stream:
        buffer = bytearray(9)
        assert buffer[: stream.readinto(memoryview(buffer))] == b"789"


def test_a_file_without_abilities_has_none_but_its_sources_revision() -> None:
    file = one(Bare())
    assert not isinstance(file, Ranged)
    assert isinstance(file, Checked)
    assert file.check() is None
    assert isinstance(file, Versioned)
    assert file.revision == "r1"


def test_a_file_keeps_its_abilities() -> None:
    file = one(Able())
    assert isinstance(file, Ranged)
    assert file.ranged
    with closing(file.open_range(2, 3)) as stream:
        buffer = bytearray(9)
        assert buffer[: stream.readinto(memoryview(buffer))] == b"234"
    assert isinstance(file, Checked)
    assert isinstance(file.check(), Never)
    assert isinstance(file, Versioned)
    assert file.revision == "v7"


def test_what_is_made_anew_has_no_revision_that_says_anything_of_its_bytes() -> None:
    file = one(Bare(), minted=True)
    assert isinstance(file, Versioned)
    assert file.revision == ""


def test_what_came_with_the_answer_stays_that() -> None:
    file = one(InlineFile("password", b"hunter2"))
    assert isinstance(file, InlineFile)
    assert file.name == "model/password"
    assert "hunter2" not in repr(file)


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[FileSet]:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "password").write_bytes(CONTENT)
    staged = StagedFile(size=10, digest=f"sha256:{sha256(CONTENT).hexdigest()}", sensitive=True, modified=1)
    with Directory.at(tmp_path) as directory:
        yield FilesOnDisk(directory=directory, files={"db/password": staged, "db2/password": staged})


def test_a_source_is_shown_its_own_part_alone(on_disk: FileSet) -> None:
    part = Published(on_disk).of("db")
    assert part is not None
    assert list(part.files) == ["password"]
    with part.open("password") as file:
        assert file.read() == CONTENT
    with pytest.raises(KeyError):
        part.open("../db2/password")


def test_of_a_source_that_gave_nothing_there_is_no_part(on_disk: FileSet) -> None:
    assert Published(on_disk).of("d") is None
    assert Published(None).of("db") is None


def test_a_held_file_is_offered_as_it_is_published(on_disk: FileSet) -> None:
    (file,) = held("db", Part("db", on_disk))
    assert isinstance(file, HeldFile)
    assert (file.name, file.size, file.sensitive) == ("db/password", 10, True)
    assert file.digest == file.revision == f"sha256:{sha256(CONTENT).hexdigest()}"
    with closing(file.open(4)) as stream:
        buffer = bytearray(4)
        assert [buffer[: stream.readinto(memoryview(buffer))] for _ in range(3)] == [b"4567", b"89", b""]


def test_a_held_file_that_is_gone_is_tried_again_soon(on_disk: FileSet, tmp_path: Path) -> None:
    (file,) = held("db", Part("db", on_disk))
    (tmp_path / "db" / "password").unlink()
    with pytest.raises(TransientError, match=r"^db/password, which is held, can't be read"):
        file.open()


@pytest.mark.parametrize("content", [b"", b"012345678", b"0123456780", CONTENT + b"x"])
def test_a_part_with_other_bytes_is_not_whole(on_disk: FileSet, tmp_path: Path, content: bytes) -> None:
    part = Part("db", on_disk)
    assert is_whole(part)
    (tmp_path / "db" / "password").write_bytes(content)
    assert not is_whole(part)


def test_a_large_file_is_read_only_if_somebody_wrote_into_it(tmp_path: Path) -> None:
    path = tmp_path / "db" / "large"
    path.parent.mkdir()
    path.write_bytes(b"")
    os.truncate(path, 5 * 1024 * 1024)
    untouched = StagedFile(
        size=path.stat().st_size, digest="sha256:never computed", sensitive=False, modified=path.stat().st_mtime_ns
    )
    with Directory.at(tmp_path) as directory:
        as_it_was = FilesOnDisk(directory=directory, files={"db/large": untouched})
        assert is_whole(Part("db", as_it_was))
        touched = dataclasses.replace(untouched, modified=1)
        assert not is_whole(Part("db", FilesOnDisk(directory=directory, files={"db/large": touched})))


def test_a_link_in_place_of_a_file_is_not_followed(on_disk: FileSet, tmp_path: Path) -> None:
    (tmp_path / "db" / "password").rename(tmp_path / "elsewhere")
    (tmp_path / "db" / "password").symlink_to(tmp_path / "elsewhere")
    assert not is_whole(Part("db", on_disk))


def test_a_system_in_trouble_is_no_damage(on_disk: FileSet) -> None:
    with pytest.raises(TransientError, match="what is held can't be read: Too many open files"):
        is_whole(Part("db", NoMoreFiles(on_disk)))


@dataclass
class NoMoreFiles:
    """A process that has as many open as it may."""

    of: FileSet

    @property
    def files(self) -> Mapping[str, StagedFile]:
        return self.of.files

    def open(self, name: str) -> BinaryIO:
        raise OSError(errno.EMFILE, "Too many open files")
