"""An archive becomes the files in it, where that is wanted."""

import gzip
import io
import re
import stat
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from refresher.archives.archive import FLOOR
from refresher.model import Asset, Outcome, Result
from refresher.store import LEDGER
from tests.archives.making import info, link, member, tarred, zipped
from tests.fakes.models import MiB, Model
from tests.fakes.source import read
from tests.large_files.assets import ONE, incoming, inode, refresh, web


def packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, inside in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(inside)
            tar.addfile(info, io.BytesIO(inside))
    return made.getvalue()


def test_an_archive_is_replaced_by_the_files_in_it_where_that_is_wanted(tmp_path: Path) -> None:
    files = {"model.bin": ONE, "code/run.py": b"pass"}
    the = web(tmp_path, [Model("fraud/model.tar.gz", packed(files)), Model("README", b"read")])
    assert sorted(read_published(the)) == ["README", "fraud/model.tar.gz"]
    unpacking = replace(the, unpack=True, source="sha256:unpack")
    assert refresh(unpacking).result is Result.PUBLISHED
    assert read(tmp_path / "web") == {"README": b"read", "fraud/model.bin": ONE, "fraud/code/run.py": b"pass"}


def read_published(the: Asset) -> dict[str, bytes]:
    assert refresh(the).result is Result.PUBLISHED
    return read(the.directory)


def test_an_archive_that_breaks_off_goes_on_within_the_fetch(tmp_path: Path) -> None:
    archive = packed({"model.bin": ONE})
    model = Model("m.tar.gz", archive, breaks=[3 * MiB, 3 * MiB], crc=zlib.crc32(archive))
    assert read_published(web(tmp_path, [model], unpack=True)) == {"model.bin": ONE}
    assert model.moved == len(archive)


def test_an_archive_is_checked_as_it_was_promised(tmp_path: Path) -> None:
    archive = packed({"model.bin": ONE})
    wrong = web(tmp_path, [Model("m.tar.gz", archive, digest="sha256:" + "0" * 64)], unpack=True)
    assert "promised digest" in str(refresh(wrong).error)
    damaged = web(tmp_path, [Model("m.tar.gz", archive, crc=1)], unpack=True, revision="r2")
    assert refresh(damaged).error_class == "TransientError"
    assert incoming(tmp_path) == []


def test_a_source_without_an_archive_is_nothing_to_unpack(tmp_path: Path) -> None:
    outcome = refresh(web(tmp_path, [Model("model.tar.xz", ONE)], unpack=True))
    assert outcome.result is Result.REJECTED
    assert str(outcome.error).startswith("unpack is true, and no file's name ends in one of .tar, .tar.gz, ")


def test_no_file_of_an_archive_takes_the_place_of_another(tmp_path: Path) -> None:
    one, other = packed({"a": b"1"}), packed({"a": b"2"})
    both = web(tmp_path, [Model("1.tgz", one), Model("2.tgz", other)], unpack=True)
    assert refresh(both).result is Result.REJECTED
    beside = web(tmp_path, [Model("1.tgz", one), Model("a", b"2")], unpack=True)
    assert refresh(beside).result is Result.REJECTED
    assert not list((tmp_path / "web").glob("[!.]*"))


def test_what_is_unpacked_is_linked_when_it_is_kept(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("1.tgz", packed({"a": ONE, "b": b"1"}))], unpack=True))
    refresh(web(tmp_path, [Model("1.tgz", packed({"a": ONE, "b": b"2"}), revision="v2")], unpack=True, revision="r2"))
    store = tmp_path / "web/..refresher"
    assert inode(store / "00000001/files/a") == inode(store / "00000002/files/a")


FILE, LINK, DEVICE = stat.S_IFREG, stat.S_IFLNK, stat.S_IFCHR
UP = "../" * 5
"""From where an archive's files come to stand, `shared/web/..refresher/incoming-…/files`, out of the volume."""

Member = tuple[str, int, bytes]
"""A name, its kind, and its content or, of a link, its target."""

GOOD: list[Member] = [("model.bin", FILE, b"good"), ("code/run.py", FILE, b"pass")]
WORSE: Member = ("model.bin", FILE, b"worse")


def in_tar(members: Sequence[Member], *, links: bytes = tarfile.SYMTYPE) -> bytes:
    made = {
        FILE: member,
        LINK: lambda name, target: link(name, target.decode(), links),
        DEVICE: lambda name, _: member(name, type=tarfile.CHRTYPE),
    }
    return gzip.compress(tarred(*(made[kind](name, content) for name, kind, content in members)), mtime=0)


def in_tar_with_hard_links(members: Sequence[Member]) -> bytes:
    return in_tar(members, links=tarfile.LNKTYPE)


def in_zip(members: Sequence[Member]) -> bytes:
    return zipped(*((info(name, kind), content) for name, kind, content in members))


ATTACKS: dict[str, tuple[Callable[[Path], list[Member]], str]] = {
    "a name that leads above": (lambda _: [(f"{UP}outside", FILE, b"x")], "name"),
    "an absolute name": (lambda outside: [(str(outside), FILE, b"x")], "name"),
    "a name of refresher's own": (lambda _: [("..data", FILE, b"x")], "name"),
    "a link above": (lambda _: [("l", LINK, f"{UP}outside".encode())], "a link, l,"),
    "an absolute link": (lambda outside: [("l", LINK, str(outside).encode())], "a link, l,"),
    "a file through a link": (lambda _: [("l", LINK, UP.encode()), ("l/outside", FILE, b"x")], "a link, l,"),
    "a device": (lambda _: [("d", DEVICE, b"")], "no file, directory or link"),
    "a bomb": (lambda _: [("zeros", FILE, bytes(FLOOR + MiB))], r"limits\.ratio"),
    "one name twice": (lambda _: [(f"./{WORSE[0]}", FILE, b"x")], "given twice"),
    "two cases of one name": (lambda _: [("MODEL.bin", FILE, b"x")], "one and the same"),
}
"""What comes behind a file that is well (given a path outside of the volume), and why it is refused."""


def all_below(root: Path) -> dict[str, object]:
    """Everything there is, and what is in it; but for the ledger, which remembers what was refused."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        if path.name != LEDGER:
            status = path.lstat()
            inside = path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
            found[str(path.relative_to(root))] = (status.st_ino, status.st_mode, inside)
    return found


@pytest.mark.parametrize(
    ("name", "pack"),
    [("m.tar.gz", in_tar), ("m.tgz", in_tar_with_hard_links), ("m.zip", in_zip)],
    ids=["tar", "tar with hard links", "zip"],
)
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_archive_leaves_the_last_good_files_and_nothing_else(
    tmp_path: Path, name: str, pack: Callable[[Sequence[Member]], bytes], attack: str
) -> None:
    (volume := tmp_path / "shared").mkdir()
    (outside := tmp_path / "outside").write_text("untouched")
    members, why = ATTACKS[attack]

    def refreshed(revision: str, content: bytes) -> Outcome:
        return refresh(web(volume, [Model(name, content, revision)], unpack=True, revision=revision))

    assert refreshed("r1", pack(GOOD)).result is Result.PUBLISHED
    before = all_below(tmp_path)
    refused = refreshed("r2", pack([WORSE, *members(outside)]))
    assert (refused.result, refused.generation) == (Result.REJECTED, 1)
    assert re.search(why, str(refused.error))
    assert incoming(volume) == []
    assert all_below(tmp_path) == before
    assert read(volume / "web") == {"model.bin": b"good", "code/run.py": b"pass"}
    assert refreshed("r3", pack([WORSE])).generation == 2
