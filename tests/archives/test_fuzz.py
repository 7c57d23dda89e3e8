"""Archives that were damaged anywhere: rejected, or read; nothing else."""

import gzip
from collections.abc import Callable
from contextlib import suppress

from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from refresher.errors import RejectedError
from refresher.model import Limits
from tests.archives.making import KINDS, link, member, somewhere, tar_of, tarred, unpacked, zip_of

WHOLE = {"model.bin": bytes(range(256)) * 8, "n" * 120: b"x", "d/e": b"y" * 600, "d/": b""}
TAR = tar_of(WHOLE).removesuffix(bytes(1024)) + tarred(
    member("é", b"1"), link("l", "d/e", b"1"), link("s", "d/e", b"2")
)
WRAPPED: dict[str, Callable[[bytes], bytes]] = {
    "a.tar": bytes,
    "a.tar.gz": lambda tar: gzip.compress(tar, compresslevel=1),
    "a.tar.zst": zstd.compress,
}

places = st.floats(0, 1, exclude_max=True)
changes = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert", "repeat"]), places, st.binary(min_size=1, max_size=12)),
    min_size=1,
    max_size=4,
)


def changed(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    for what, place, data in changes:
        at = int(place * len(content))
        after = {"set": at + len(data), "cut": at + 8 * len(data), "insert": at, "repeat": max(0, at - 512)}[what]
        content = content[:at] + (b"" if what in {"cut", "repeat"} else data) + content[after:]
    return content


def expect_rejected_or_read(name: str, archive: bytes) -> None:
    with somewhere() as inside, suppress(RejectedError):
        files = unpacked(inside, f"d/{name}", archive, limits=Limits(files=50, file=2**20, total=2**22))
        assert all((inside / file).stat().st_size == facts.size for file, facts in files.items())


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KINDS)), changes)
def test_a_damaged_archive_is_rejected_or_read(name: str, changes: list[tuple[str, float, bytes]]) -> None:
    expect_rejected_or_read(name, changed(KINDS[name](WHOLE), changes))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WRAPPED)), changes)
def test_a_damaged_tar_in_a_sound_wrapping_is_rejected_or_read(
    name: str, changes: list[tuple[str, float, bytes]]
) -> None:
    expect_rejected_or_read(name, WRAPPED[name](changed(TAR, changes)))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 511), st.binary(min_size=1, max_size=40), st.integers(0, 20))
def test_a_damaged_header_with_a_right_checksum_is_rejected_or_read(at: int, data: bytes, block: int) -> None:
    start = block * 512
    header = bytearray(TAR[start : start + 512])
    header[at : at + len(data)] = data[: 512 - at]
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    expect_rejected_or_read("a.tar", TAR[:start] + bytes(header) + TAR[start + 512 :])


@settings(max_examples=150, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8))
def test_a_damaged_directory_of_a_zip_is_rejected_or_read(place: float, data: bytes) -> None:
    archive = zip_of(WHOLE)
    start = archive.index(b"PK\x01\x02")
    at = start + int(place * (len(archive) - start))
    expect_rejected_or_read("a.zip", archive[:at] + data + archive[at + len(data) :])


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=3000))
def test_noise_is_rejected(name: str, noise: bytes) -> None:
    expect_rejected_or_read(name, noise)
