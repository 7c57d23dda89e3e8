import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresher.contract import Finding
from refresher.errors import RejectedError
from refresher.verifiers.model import gguf as checked
from refresher.verifiers.model.header import Header
from tests.fakes.candidate import FakeCandidate
from tests.fakes.model_formats import Gguf, gguf
from tests.verifiers.model.judging import judged, mutated, refusal, verify

NAME = "model.gguf"


def said(file: Gguf, data: int = 0, *, alignment: int = 32) -> str:
    return refusal({NAME: file.file(data, alignment=alignment)})


@pytest.mark.parametrize("order", ["<", ">"], ids=["little-endian", "big-endian"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_whole_file_is_accepted(order: str, version: int) -> None:
    file = Gguf(order=order, version=version).words(b"a", b"b").tensor(b"t", [8], 0, 0)
    assert verify({NAME: file.file(32)}) == Finding()
    assert verify({"weights": gguf(order=order)}) == Finding()


@pytest.mark.parametrize("data", range(36, 65))
def test_what_comes_last_may_be_padded_or_not(data: int) -> None:
    assert verify({NAME: Gguf().tensor(b"t", [9], 0, 0).file(data)}) == Finding()


def test_a_file_that_is_cut_short_is_refused_with_both_sizes() -> None:
    whole = Gguf().tensor(b"t", [9], 0, 0).file(36)
    size = len(whole)
    assert refusal({NAME: whole[:-1]}) == (
        f"model.gguf is cut short: by its header it has at least {size} bytes, and there are {size - 1}"
    )
    for length in range(4, size):
        assert "is cut short" in refusal({NAME: whole[:length]})


def test_a_file_with_bytes_after_its_end_is_refused_with_both_sizes() -> None:
    whole = Gguf().tensor(b"t", [9], 0, 0).file(36)
    assert refusal({NAME: whole + bytes(29)}) == (
        f"model.gguf has bytes after its end: by its header it has {len(whole)} bytes, and there are {len(whole) + 29}"
    )


def test_a_file_without_tensors_ends_with_its_header() -> None:
    file = Gguf().words(b"only", b"words")
    assert verify({NAME: file.head()}) == Finding()
    assert verify({NAME: file.file(0)}) == Finding()
    assert "after its end" in said(file, 32)


@pytest.mark.parametrize(("kind", "block"), checked.BLOCKS.items())
def test_every_type_takes_as_many_bytes_as_its_blocks(kind: int, block: tuple[int, int]) -> None:
    numbers, size = block
    file = Gguf().tensor(b"t", [numbers, 3], kind, 0)
    assert verify({NAME: file.file(3 * size)}) == Finding()
    assert "is cut short" in said(file, 3 * size - 1)


def test_of_a_type_that_is_not_known_only_the_place_is_checked() -> None:
    file = Gguf().tensor(b"a", [2**60], 99, 0).tensor(b"b", [2**60], 99, 64)
    assert verify({NAME: file.file(65)}) == Finding()
    assert "is cut short" in said(file, 63)


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_the_alignment_is_what_the_file_says(alignment: int) -> None:
    file = Gguf().entry(b"general.alignment", 4, struct.pack("<I", alignment))
    file.tensor(b"a", [1], 24, 0).tensor(b"b", [1], 24, alignment)
    assert verify({NAME: file.file(alignment + 1, alignment=alignment)}) == Finding()
    assert f"which is no multiple of {alignment}" in said(file.tensor(b"c", [1], 24, alignment + 4), 9999)


@pytest.mark.parametrize(("kind", "value"), [(4, 0), (4, 24), (5, 32), (10, 32)])
def test_an_alignment_that_is_none_is_refused(kind: int, value: int) -> None:
    written = struct.pack("<Q" if kind == 10 else "<I", value)
    assert "no power of two" in said(Gguf().entry(b"general.alignment", kind, written))


def test_tensors_that_overlap_are_refused_and_gaps_are_not() -> None:
    file = Gguf().tensor(b"b", [1], 0, 64).tensor(b"a", [9], 0, 0)
    assert verify({NAME: file.file(68)}) == Finding()
    assert verify({NAME: Gguf().tensor(b"b", [1], 0, 96).tensor(b"a", [9], 0, 0).file(100)}) == Finding()
    refused = said(Gguf().tensor(b"b", [1], 0, 32).tensor(b"a", [9], 0, 0), 64)
    assert "has a tensor at 32, before the one there ends at 36: b'b'" in refused


@pytest.mark.parametrize("version", [0, 1, 4, 2**16])
def test_another_version_is_refused(version: int) -> None:
    assert "known are 2 and 3" in said(Gguf(version=version))


def test_a_file_without_the_magic_is_refused() -> None:
    assert "doesn't begin as GGUF files do" in refusal({NAME: b"lmgg" + bytes(100)})


def test_what_is_there_twice_is_refused() -> None:
    assert "has the entry b'x' twice" in said(Gguf().entry(b"x", 7, b"\1").entry(b"x", 7, b"\1"))
    assert "has the tensor b't' twice" in said(Gguf().tensor(b"t", [1], 0, 0).tensor(b"t", [1], 0, 32), 36)


@pytest.mark.parametrize(
    ("kind", "value", "problem"),
    [
        (13, b"", "has an entry of the type 13, which isn't known"),
        (8, struct.pack("<Q", 2**63), "is cut short"),
        (9, struct.pack("<IQ", 12, 2**61), "is cut short"),
        (9, struct.pack("<IQ", 8, 2**61), "is cut short"),
        (9, struct.pack("<IQ", 9, 1) * 9, "nested too deeply"),
        (9, struct.pack("<IQ", 77, 1), "has an entry of the type 77"),
    ],
)
def test_metadata_that_cannot_be_is_refused(kind: int, value: bytes, problem: str) -> None:
    assert problem in said(Gguf().entry(b"x", kind, value))


def test_counts_that_cannot_be_are_refused_at_once() -> None:
    for counts in ((2**63, 0), (0, 2**63), (131_073, 0), (0, 65_537)):
        assert "allowed are 131072 and 65536" in refusal({NAME: b"GGUF" + struct.pack("<IQQ", 3, *counts) + bytes(9)})
    assert "has a name of 1025 bytes" in said(Gguf().tensor(b"n" * 1025, [1], 0, 0))
    assert "has a name of 65536 bytes" in said(Gguf().entry(b"k" * 65536, 7, b"\1"))
    assert "has a tensor of 9 dimensions" in said(Gguf().tensor(b"t", [1] * 9, 0, 0))
    assert "of more numbers than can be counted" in said(Gguf().tensor(b"t", [2**64 - 1] * 8, 0, 2**64 - 32))
    assert "is cut short" in said(Gguf().tensor(b"t", [2**62], 0, 2**64 - 32))


def test_a_header_of_very_many_parts_is_refused() -> None:
    content = Gguf().words(*[b""] * 100).head()
    checked.check(Header(io.BytesIO(content), NAME, size=len(content)), FakeCandidate({}))
    with pytest.raises(RejectedError, match="has a header of too many parts"):
        checked.check(Header(io.BytesIO(content), NAME, size=len(content), parts=100), FakeCandidate({}))


def test_a_header_of_many_long_names_is_refused() -> None:
    file = Gguf()
    for number in range(520):
        file.entry(b"%05d" % number + b"k" * 65_000, 7, b"\1")
    assert "has a header of which more than 33554432 bytes would have to be read" in said(file)


def test_a_file_that_is_shorter_than_it_was_a_moment_ago_is_refused() -> None:
    content = Gguf().words(b"a").head()
    with pytest.raises(RejectedError, match="ends after 20 of its 999 bytes"):
        checked.check(Header(io.BytesIO(content[:20]), NAME, size=999), FakeCandidate({}))


GOOD = {order: gguf(order=order) for order in "<>"}


@given(
    st.sampled_from("<>"),
    st.lists(st.tuples(st.integers(0, len(GOOD["<"])), st.integers(0, 255)), max_size=4),
    st.integers(-20, 20),
)
def test_any_changed_file_is_accepted_or_refused(order: str, changes: list[tuple[int, int]], cut: int) -> None:
    judged({NAME: mutated(GOOD[order], changes, cut)})


@given(st.binary(max_size=200))
def test_anything_under_the_name_is_accepted_or_refused(content: bytes) -> None:
    judged({NAME: b"GGUF\3\0\0\0" + content})
