"""An archive becomes the files in it, where that is wanted."""

import io
import tarfile
import zlib
from dataclasses import replace
from pathlib import Path

from refresher.model import Asset, Result
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
