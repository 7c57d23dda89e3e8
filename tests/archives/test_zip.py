"""Zip archives, as people and attackers make them."""

import os
import stat
import struct
import tracemalloc
import zipfile
import zlib

import pytest

from refresher.model import Limits
from tests.archives.making import (
    Delivery,
    contents,
    deflated,
    directory_entry,
    expect_rejected,
    info,
    local_entry,
    sliced,
    somewhere,
    unpacked,
    zip_end,
    zip_of,
    zipped,
)


def test_stored_and_deflated_members_are_read() -> None:
    files = {"a": os.urandom(300_000), "b": bytes(300_000), "c": b""}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with somewhere() as inside:
            unpacked(inside, "a.zip", zip_of(files, method))
            assert contents(inside) == files


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_are_refused(method: int) -> None:
    expect_rejected("a.zip", zip_of({"a": b"x"}, method), f"method {method}")


def test_names_are_utf_8_or_of_the_old_code_page() -> None:
    with somewhere() as inside:
        unpacked(inside, "a.zip", zip_of({"é": b"x"}))
        assert set(contents(inside)) == {"é"}
    entry = local_entry(b"\x82", deflated(b""), crc=0, size=0)
    directory = directory_entry(b"\x82", crc=0, compressed=2, size=0, at=0)
    with somewhere() as inside:
        unpacked(inside, "a.zip", entry + zip_end(directory, at=len(entry), entries=1))
        assert set(contents(inside)) == {"é"}
    expect_rejected("a.zip", zip_of({"é": b"x"}).replace("é".encode(), b"\xff\xfe"), "no whole zip file")


def test_a_name_does_not_end_at_a_nul() -> None:
    expect_rejected("a.zip", zip_of({"a_b": b"x"}).replace(b"a_b", b"a\0b"), "control characters")


def test_zip64_is_read() -> None:
    with somewhere() as inside:
        path = inside / "..made"
        with zipfile.ZipFile(path, "w") as archive, archive.open("a", "w", force_zip64=True) as file:
            file.write(b"x")
        content = path.read_bytes()
        path.unlink()
        unpacked(inside, "a.zip", content)
        assert contents(inside) == {"a": b"x"}


def test_a_link_to_a_file_before_it_is_that_file() -> None:
    members = [(info("d/a"), b"x"), (info("e/l", stat.S_IFLNK), b"../d/a")]
    with somewhere() as inside:
        files = unpacked(inside, "a.zip", zipped(*members))
        assert files["e/l"] == files["d/a"]
        assert (inside / "e/l").samefile(inside / "d/a")
    expect_rejected("a.zip", zipped(*reversed(members)), "stands before it")
    for target in (b"/etc/passwd", b"../../x", b"missing", b"\xff", b""):
        expect_rejected("a.zip", zipped(members[0], (info("e/l", stat.S_IFLNK), target)), "a link, e/l,")
    expect_rejected("a.zip", zipped((info("l", stat.S_IFLNK), b"x" * 5000)), "target is too long")


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_a_member_that_is_no_file_is_refused(kind: int) -> None:
    expect_rejected("a.zip", zipped((info("a", kind), b"")), "no file, directory or link")


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_an_encrypted_archive_is_refused(flag: int) -> None:
    archive = bytearray(zip_of({"a": b"x"}))
    at = archive.index(b"PK\x01\x02")
    archive[at + 8 : at + 10] = struct.pack("<H", flag)
    expect_rejected("a.zip", bytes(archive), "encrypted")


def test_members_that_share_their_bytes_are_refused() -> None:
    kernel, content = deflated(bytes(10_000)), bytes(10_000)
    entry = local_entry(b"a", kernel, crc=zlib.crc32(content), size=len(content))
    same = b"".join(
        directory_entry(b"a", crc=zlib.crc32(content), compressed=len(kernel), size=len(content), at=0)
        for _ in range(3)
    )
    expect_rejected("a.zip", entry + zip_end(same, at=len(entry), entries=3), "overlap")


def test_members_within_members_are_refused() -> None:
    inner = local_entry(b"b", deflated(b"x"), crc=zlib.crc32(b"x"), size=1)
    # The first member's stored bytes are the second one with its header: David Fifield's overlap.
    quoted = b"\x01" + struct.pack("<HH", len(inner), len(inner) ^ 0xFFFF) + inner
    outer = local_entry(b"a", quoted, crc=zlib.crc32(inner), size=len(inner))
    directory = directory_entry(b"a", crc=zlib.crc32(inner), compressed=len(quoted), size=len(inner), at=0)
    directory += directory_entry(b"b", crc=zlib.crc32(b"x"), compressed=3, size=1, at=len(outer) - len(inner))
    expect_rejected("a.zip", outer + zip_end(directory, at=len(outer), entries=2), "overlap")


def test_a_member_that_hides_others_in_its_extra_field_is_refused() -> None:
    kernel = deflated(b"x" * 500)
    facts = {"crc": zlib.crc32(b"x" * 500), "size": 500}
    second = local_entry(b"b", kernel, **facts)
    first = local_entry(b"a", b"", extra=second[:31], **facts)
    body = first[:18] + struct.pack("<L", len(kernel)) + first[22:-31] + second
    directory = directory_entry(b"a", compressed=len(kernel), at=0, **facts)
    directory += directory_entry(b"b", compressed=len(kernel), at=len(first) - 31, **facts)
    expect_rejected("a.zip", body + zip_end(directory, at=len(body), entries=2), "overlap")


@pytest.mark.parametrize("claimed", [0, 9, 11, 2**31])
def test_a_size_that_is_not_true_is_refused(claimed: int) -> None:
    content = b"x" * 10
    entry = local_entry(b"a", deflated(content), crc=zlib.crc32(content), size=10)
    directory = directory_entry(b"a", crc=zlib.crc32(content), compressed=len(deflated(content)), size=claimed, at=0)
    expect_rejected("a.zip", entry + zip_end(directory, at=len(entry), entries=1), "zip file|where it says")


def test_a_damaged_member_is_refused() -> None:
    archive = bytearray(zip_of({"a": b"content"}, zipfile.ZIP_STORED))
    archive[archive.index(b"content")] ^= 1
    expect_rejected("a.zip", bytes(archive), "CRC")


def test_a_member_that_is_longer_than_the_archive_is_refused() -> None:
    entry = local_entry(b"a", deflated(b"x"), crc=zlib.crc32(b"x"), size=1)
    directory = directory_entry(b"a", crc=zlib.crc32(b"x"), compressed=2**30, size=1, at=0)
    expect_rejected("a.zip", entry + zip_end(directory, at=len(entry), entries=1), "longer than the archive")


@pytest.mark.parametrize("entries", [10_001, 100_000, 1_000_000])
def test_a_million_entries_are_refused_in_little_memory(entries: int) -> None:
    entry = local_entry(b"a", deflated(b""), crc=0, size=0)
    directory = directory_entry(b"a", crc=0, compressed=2, size=0, at=0) * entries
    archive = entry + zip_end(directory, at=len(entry), entries=entries)
    tracemalloc.start()
    try:
        expect_rejected("a.zip", archive, r"limits\.files")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20


def test_an_archive_with_as_many_files_as_allowed_is_read() -> None:
    files = {f"{'d' * 100}-{number}": b"" for number in range(300)}
    with somewhere() as inside:
        assert len(unpacked(inside, "a.zip", zip_of(files), limits=Limits(files=300))) == 300
    expect_rejected("a.zip", zip_of(files), r"limits\.files", limits=Limits(files=299))


def test_the_archive_has_no_name_while_it_is_laid_down() -> None:
    archive = zip_of({"a": os.urandom(100_000)})
    seen: set[str] = set()
    with somewhere() as inside:
        pieces = sliced(archive, 1000)
        unpacked(inside, "a.zip", Delivery(piece for piece in pieces if not seen.update(os.listdir(inside))))
    assert seen == set()
