"""What holds for archives of every kind."""

import gzip
import hashlib
import io
import os
import stat
import tracemalloc
import zipfile
from collections.abc import Iterator

import pytest
from backports import zstd

from refresher.archives import is_archive
from refresher.archives.archive import FLOOR
from refresher.errors import PermanentError, RejectedError, TransientError
from refresher.landing import PRIVATE_KEY
from refresher.model import SECRET_FILE_LIMIT, Limits, Publish
from tests.archives.making import (
    END,
    FILES,
    KINDS,
    Delivery,
    contents,
    expect_rejected,
    sliced,
    somewhere,
    tar_of,
    unpacked,
    zip_of,
)
from tests.test_floors import loaded_by

kinds = pytest.mark.parametrize("name", KINDS)
streamed = pytest.mark.parametrize("name", [name for name in KINDS if name != "a.zip"])
COMPRESSED = {"a.tar.gz": gzip.compress, "a.tar.zst": zstd.compress}


def test_an_archive_is_known_by_its_name() -> None:
    assert all(is_archive(f"models/{name}") for name in [*KINDS, "a.tgz", "a.tzst", "MODEL.TAR.GZ", "a.b.zip"])
    with somewhere() as inside:
        unpacked(inside, "A.TGZ", KINDS["a.tar.gz"](FILES))
    with somewhere() as inside:
        unpacked(inside, "a.tzst", KINDS["a.tar.zst"](FILES))
    assert not any(is_archive(name) for name in ["a", "a.gz", "a.zst", "tar", "a.tar.bz2", "a.tar.gz.sig", "zip"])


@kinds
@pytest.mark.parametrize("size", [1, 700, 2**20])
def test_its_files_stand_where_it_would_have_been(name: str, size: int) -> None:
    with somewhere() as inside:
        files = unpacked(inside, f"models/{name}", Delivery(sliced(KINDS[name](FILES), size)))
        assert contents(inside) == {f"models/{file}": content for file, content in FILES.items()}
        for file, content in FILES.items():
            facts = files[f"models/{file}"]
            assert (facts.size, facts.digest) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")


@kinds
def test_all_its_bytes_are_read(name: str) -> None:
    archive = KINDS[name](FILES)
    with somewhere() as inside:
        delivery = Delivery(sliced(archive, 100))
        unpacked(inside, name, delivery)
        assert delivery.received == len(archive)


@kinds
def test_modes_are_the_assets_and_a_key_is_found(name: str) -> None:
    archive = KINDS[name]({"key": b"-----BEGIN " + PRIVATE_KEY, "other": b""})
    with somewhere() as inside:
        files = unpacked(inside, name, archive, publish=Publish(mode=0o604, key_mode=0o600))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in inside.iterdir()}
        assert modes == {"key": 0o600, "other": 0o604} == {file: facts.mode for file, facts in files.items()}
        assert files["key"].sensitive
        assert not files["other"].sensitive


@kinds
def test_a_secret_archive_holds_secret_files(name: str) -> None:
    with somewhere() as inside:
        files = unpacked(inside, name, KINDS[name](FILES), sensitive=True)
        assert {(facts.sensitive, facts.mode) for facts in files.values()} == {(True, 0o640)}
    expect_rejected(name, KINDS[name]({"a": os.urandom(SECRET_FILE_LIMIT + 1)}), "its limit", sensitive=True)


@kinds
def test_a_file_that_is_cut_off_anywhere_is_not_published(name: str) -> None:
    archive = KINDS[name]({"a": b"content" * 20, "b": b"b"})
    # A tar archive is whole with the first block of its end mark.
    whole = len(archive) - len(END) + 512 if name == "a.tar" else len(archive)
    for length in [*range(0, whole, 7), whole - 1]:
        expect_rejected(name, archive[:length], "archive a")
    with somewhere() as inside:
        assert len(unpacked(inside, name, archive[:whole])) == 2


@kinds
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", bytes(5000), b"PK\x05\x06", os.urandom(5000)])
def test_something_else_under_an_archives_name_is_rejected(name: str, content: bytes) -> None:
    expect_rejected(name, content, f"archive {name}")


@kinds
def test_an_archive_without_files_is_rejected(name: str) -> None:
    expect_rejected(name, KINDS[name]({}), "holds no files")
    expect_rejected(name, KINDS[name]({"a/": b""}), "holds no files")


@streamed
def test_nothing_but_zeros_may_follow(name: str) -> None:
    archive = KINDS[name](FILES)
    with somewhere() as inside:
        unpacked(inside, name, archive + bytes(300_000))
    expect_rejected(name, archive + bytes(300_000) + b"x", f"archive {name}")
    if name in COMPRESSED:
        expect_rejected(name, COMPRESSED[name](tar_of(FILES) + b"x"), "something after its end")


@pytest.mark.parametrize("name", COMPRESSED)
def test_several_compressed_frames_are_one_archive(name: str) -> None:
    pieces = sliced(tar_of(FILES), 999)
    archive = b"".join(COMPRESSED[name](piece) for piece in pieces)
    for size in (1, 100, 2**20):
        with somewhere() as inside:
            unpacked(inside, name, Delivery(sliced(archive, size)))
            assert contents(inside) == FILES


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/x",
        "/etc/passwd",
        "C:\\x",
        "..\\x",
        "a\\b",
        "a\nb",
        "a\x1b[2J",
        "..data",
        "a/..b/c",
        "\u202e",
    ],
)
@kinds
def test_a_name_that_leads_elsewhere_or_deceives_is_rejected(name: str, path: str) -> None:
    expect_rejected(name, KINDS[name]({path: b"x"}), "name")
    expect_rejected(f"models/{name}", KINDS[name]({path: b"x"}), "name")
    expect_rejected(name, KINDS[name]({f"{path}/": b"", "a": b"x"}), "name")


@kinds
@pytest.mark.parametrize("path", ["a" * 256, "/".join(["a"] * 65), "/".join(["a" * 200] * 6)])
def test_a_name_that_is_too_long_is_rejected(name: str, path: str) -> None:
    expect_rejected(name, KINDS[name]({path: b"x"}), "too (long|many)")


@kinds
@pytest.mark.parametrize("path", [".", "./."])
def test_a_file_without_a_name_is_rejected(name: str, path: str) -> None:
    expect_rejected(f"models/{name}", KINDS[name]({path: b"x"}), "without a name")


@kinds
def test_needless_parts_of_names_are_left_out(name: str) -> None:
    with somewhere() as inside:
        unpacked(inside, name, KINDS[name]({"./": b"", "./a/": b"", "./a//b": b"x", "././c": b"", "é/ü.txt": b""}))
        assert set(contents(inside)) == {"a/b", "c", "é/ü.txt"}


@kinds
@pytest.mark.parametrize(
    ("first", "second"),
    [("a", "A"), ("a/b", "A/c"), ("é", "e\u0301"), ("ß", "SS"), ("a", "./a"), ("a", "a/b"), ("a/b", "a"), ("a/b", "A")],
)
def test_two_names_that_a_reader_could_take_for_one_are_rejected(name: str, first: str, second: str) -> None:
    expect_rejected(name, KINDS[name]({first: b"1", second: b"2"}), "twice|one and the same")
    expect_rejected(name, KINDS[name]({second: b"2"}), "twice|one and the same", taken=(first,))


@kinds
def test_names_of_other_files_are_none_of_its_own(name: str) -> None:
    with somewhere() as inside:
        (inside / "config").mkdir()
        files = unpacked(inside, name, KINDS[name]({"config/a": b"x"}), taken=("config/b", "a"))
        assert set(files) == {"config/a"}


@kinds
def test_files_and_directories_are_counted_with_those_of_the_set(name: str) -> None:
    archive = KINDS[name]({"a/b/c": b"", "d": b""})
    with somewhere() as inside:
        unpacked(inside, name, archive, limits=Limits(files=4))
        assert len(contents(inside)) == 2
    expect_rejected(name, archive, "limits.files", limits=Limits(files=3))
    expect_rejected(name, archive, "limits.files", limits=Limits(files=4), taken=("e",))


@kinds
def test_a_file_has_its_limit_and_so_have_all_together(name: str) -> None:
    archive = KINDS[name]({"a": os.urandom(5000), "b": os.urandom(5000)})
    with somewhere() as inside:
        unpacked(inside, name, archive, limits=Limits(file=5000, total=50_000))
    expect_rejected(name, archive, "its limit of 4999", limits=Limits(file=4999))
    expect_rejected(name, archive, "limits.total", limits=Limits(total=9999))


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.zst", "a.zip"])
def test_a_bomb_goes_off_before_it_has_grown(name: str) -> None:
    bomb = KINDS[name]({"zeros": bytes(FLOOR + 2**20)})
    assert len(bomb) < FLOOR / 200
    with somewhere() as inside, pytest.raises(RejectedError, match=r"limits\.ratio"):
        unpacked(inside, name, bomb)
    with somewhere() as inside:
        unpacked(inside, name, bomb, limits=Limits(ratio=100_000))
    with somewhere() as inside:
        unpacked(inside, name, KINDS[name]({"zeros": bytes(FLOOR - 2**16)}))


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_bomb_behind_the_end_goes_off_too(name: str) -> None:
    expect_rejected(name, COMPRESSED[name](tar_of(FILES) + bytes(FLOOR)), r"limits\.ratio")


@kinds
def test_an_archive_in_an_archive_stays_one(name: str) -> None:
    inner = zip_of({f"{number}": b"" for number in range(2000)}, zipfile.ZIP_STORED)
    with somewhere() as inside:
        unpacked(inside, name, KINDS[name]({"inner.zip": inner}), limits=Limits(files=10))
        assert contents(inside) == {"inner.zip": inner}


@kinds
@pytest.mark.parametrize(
    "trouble", [TransientError("reset"), RejectedError("no"), OSError(22, "x"), ValueError("x"), EOFError()]
)
def test_what_the_source_raises_comes_through_unchanged(name: str, trouble: Exception) -> None:
    def broken() -> Iterator[bytes]:
        yield KINDS[name](FILES)[:100]
        raise trouble

    with somewhere() as inside, pytest.raises(type(trouble)) as caught:
        unpacked(inside, name, Delivery(broken()))
    assert caught.value is trouble


@kinds
def test_what_stands_in_the_way_on_the_disk_is_an_error_of_the_disk(name: str) -> None:
    with somewhere() as inside:
        (inside / "code").write_text("in the way")
        with pytest.raises(PermanentError):
            unpacked(inside, name, KINDS[name](FILES))


@kinds
def test_a_link_on_the_disk_is_not_followed(name: str) -> None:
    with somewhere() as inside:
        (inside / "code").symlink_to("..")
        with pytest.raises(PermanentError):
            unpacked(inside, name, KINDS[name]({"code/x": b"written outside"}))
        (inside / "code").unlink()


@kinds
def test_memory_stays_flat(name: str) -> None:
    archive = KINDS[name]({"a": os.urandom(2**20) * 16})
    tracemalloc.start()
    try:
        with somewhere() as inside:
            unpacked(inside, name, archive)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


def test_a_file_of_another_name_is_a_mistake_of_the_callers() -> None:
    with somewhere() as inside, pytest.raises(ValueError, match="no archive's name"):
        unpacked(inside, "a.bin", b"")


def test_the_window_that_long_makes_is_read_and_a_longer_one_refused() -> None:
    def compressed(window: int) -> bytes:
        options = {zstd.CompressionParameter.window_log: window, zstd.CompressionParameter.content_size_flag: 0}
        buffer = io.BytesIO()
        with zstd.ZstdFile(buffer, "w", options=options) as file:
            file.write(tar_of(FILES))
        return buffer.getvalue()

    with somewhere() as inside:
        unpacked(inside, "a.tar.zst", compressed(27))
    expect_rejected("a.tar.zst", compressed(28), "window of at most 128 MiB")


def test_a_skippable_frame_of_zstandard_is_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    with somewhere() as inside:
        unpacked(inside, "a.tar.zst", skippable + zstd.compress(tar_of(FILES)) + skippable)
        assert contents(inside) == FILES


def test_an_empty_directory_is_not_made() -> None:
    with somewhere() as inside:
        unpacked(inside, "a.tar", tar_of({"empty/": b"", "a": b""}))
        assert os.listdir(inside) == ["a"]


def test_the_library_for_zstandard_is_loaded_by_those_who_need_it() -> None:
    assert not loaded_by("refresher.archives") & {"backports", "compression"}
    assert "backports" in loaded_by("backports.zstd")
