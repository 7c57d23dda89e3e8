import bz2
import errno
import gzip
import io
import lzma
import pickle
import pickletools
import random
import struct
import zipfile
import zlib
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresher.contract import Finding
from refresher.verifiers.model.pickles import holds_pickle
from tests.fakes.model_formats import archive, array, gguf, safetensors
from tests.verifiers.model.judging import judged, mutated, refusal, verify

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ANYTHING = OrderedDict([("weight", print)])
"""Something of which the pickle imports what it needs."""

TORCH = {"archive/data.pkl": pickle.dumps(ANYTHING, 2), "archive/data/0": bytes(8), "archive/version": b"3\n"}


def said(name: str, content: bytes) -> str:
    return refusal({name: content}, formats=[])


def is_refused(name: str, content: bytes) -> bool:
    assert said(name, content) == f"{name} is a Python pickle or may hold one, and that runs code when it is loaded"
    return True


def is_accepted(name: str, content: bytes) -> bool:
    return verify({name: content}, formats=[]) == Finding()


@pytest.mark.parametrize("ending", ["pkl", "pickle", "pt", "pth", "ckpt", "joblib", "dill", "mar", "nemo", "PT"])
def test_what_is_always_loaded_as_a_pickle_is_refused_by_its_name(ending: str) -> None:
    assert is_refused(f"model.{ending}", b"anything")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_of_any_protocol_called_bin_is_refused(protocol: int) -> None:
    assert is_refused("pytorch_model.bin", pickle.dumps(ANYTHING, protocol))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["weights.dat", "config.json", "model", "model.safetensors", "deep/model.gguf"])
def test_a_pickle_under_an_innocent_name_is_refused(protocol: int, name: str) -> None:
    assert is_refused(name, pickle.dumps(ANYTHING, protocol))


def test_what_pytorch_writes_is_refused_under_any_name() -> None:
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, ANYTHING)
    older = b"".join(pickle.dumps(each, 2) for each in parts)
    for name in ("pytorch_model.bin", "weights.dat"):
        assert is_refused(name, archive(TORCH))
        assert is_refused(name, older)


def test_the_import_may_come_in_a_later_pickle_of_the_file() -> None:
    assert is_accepted("a.bin", pickle.dumps([1, "text"], 2) * 3)
    assert is_refused("a.bin", pickle.dumps([1, "text"], 2) * 3 + pickle.dumps(ANYTHING, 0))


@pytest.mark.parametrize(
    "compress", [zlib.compress, gzip.compress, bz2.compress, lzma.compress], ids=["zlib", "gzip", "bz2", "xz"]
)
def test_a_compressed_pickle_is_refused_and_other_compressed_files_are_not(compress: type[bytes]) -> None:
    assert is_refused("weights.dat", compress(pickle.dumps(ANYTHING, 4)))
    assert is_refused("weights.bin", compress(pickle.dumps(ANYTHING, 3) * 9999))
    assert is_accepted("words.txt.gz", compress(b"words " * 100))
    assert is_accepted("broken.gz", compress(b"words " * 100)[:5])


def test_what_gives_nothing_for_long_or_takes_too_much_room_is_refused() -> None:
    beginning, empty_block = b"\x78\x9c", b"\0\0\0\xff\xff"
    assert is_refused("weights.dat", beginning + empty_block * 300_000)
    assert is_accepted("weights.dat", beginning + empty_block * 9)
    packed = lzma.compress(b"words", format=lzma.FORMAT_ALONE)
    assert is_accepted("words.lzma", packed)
    assert is_refused("words.lzma", packed[:1] + (2**29).to_bytes(4, "little") + packed[5:])


def test_a_protocol_may_be_named_that_needs_no_name() -> None:
    for protocol in (0, 1):
        assert is_refused("weights.dat", bytes([0x80, protocol]) + b"cos\nsystem\n")


def test_old_lzma_is_looked_into_too() -> None:
    assert is_refused("weights.dat", lzma.compress(pickle.dumps(ANYTHING, 4), format=lzma.FORMAT_ALONE))


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("kind", ["'|O'", "'O'", "'object'", "[('x', '<f4'), ('y', '|O')]", "'\\x4f'", "'f4,O'"])
def test_an_array_of_objects_is_refused(kind: str, version: int) -> None:
    assert is_refused("a.npy", array(kind, version=version))
    assert is_refused("a.npz", archive({"a.npy": array(), "b.npy": array(kind, version=version)}))


@pytest.mark.parametrize("kind", ["'<f4'", "'|b1'", "'<M8[ns]'", "[('x', '<f4'), ('y', '<i8')]"])
def test_an_array_of_numbers_is_accepted(kind: str) -> None:
    for version in (1, 2):
        assert is_accepted("a.npy", array(kind, version=version))
        assert is_accepted("a.npz", archive({"a.npy": array(kind, version=version)}, compressed=zipfile.ZIP_DEFLATED))


def test_an_array_whose_header_is_too_long_is_refused() -> None:
    assert is_refused("a.npy", b"\x93NUMPY\2\0" + struct.pack("<I", 2**31) + bytes(99))


def test_an_archive_of_harmless_things_is_accepted() -> None:
    assert is_accepted("model.keras", archive({"config.json": b"{}", "model.weights.h5": b"\x89HDF\r\n"}))
    assert is_accepted("empty.zip", archive({}))


@pytest.mark.parametrize("inner", ["deep/data.pkl", "x.PKL", "model.pt", "code.joblib"])
def test_an_archive_is_looked_through_by_name(inner: str) -> None:
    assert is_refused("weights.dat", archive({"fine": b"", inner: b""}))


def test_an_archive_is_looked_through_by_content() -> None:
    for content in (pickle.dumps(ANYTHING, 4), archive({})):
        for compressed in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            assert is_refused("weights.dat", archive({"fine": b"", "data": content}, compressed=compressed))


def test_an_archive_that_cannot_be_looked_through_is_refused() -> None:
    whole = archive({"a": b"1" * 99}, compressed=zipfile.ZIP_DEFLATED)
    assert is_accepted("a.zip", whole)
    for content in (whole[:-30], b"PK\3\4" + bytes(99), b"PK\5\6"):
        assert is_refused("a.zip", content)
    encrypted = whole.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0")
    unknown = whole.replace(b"PK\x01\x02\x14\x03\x14\0\0\0\x08\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x63\0")
    for content in (encrypted, unknown):
        assert content != whole
        assert is_refused("a.zip", content)


def test_a_damaged_part_of_an_archive_is_refused() -> None:
    for compressed in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        whole = archive({"a": random.Random(3).randbytes(900)}, compressed=compressed)
        damaged = whole[:32] + bytes(900) + whole[932:]
        assert is_accepted("a.zip", whole)
        assert is_refused("a.zip", damaged)


def test_a_disk_that_fails_refuses_nothing() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(errno.EIO, "the disk fails")
            return super().read(size)

    with pytest.raises(OSError, match="the disk fails"):
        holds_pickle(Failing(archive(TORCH)), "a.zip")


def test_a_table_of_contents_that_is_too_long_is_not_read() -> None:
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 5 * 1024 * 1024, 4, 0)
    assert is_refused("a.zip", b"PK\3\4" + bytes(5 * 1024 * 1024) + end)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack("<9f", *range(9)),
        b"\6\0\0\0weights of another tool",
        b"3000000 300\n</s> ",
        b"lmgg\1\0\0\0",
        b"\xba\x16\x4f\x2f\x0c\0\0\0",
        b"\x80\x06c",
        b"\x80\x04\x93",
        b"\x80\x02\xff",
        b"X\xff\xff\xff\xffcos\nsystem\n",
        b"cos\nsystem",
        b"cos\x00\nsystem\n",
        b"c\xff\nsystem\n",
        b"I1\nI",
        b"\x8a",
    ],
)
def test_a_bin_that_no_unpickler_could_run_is_accepted(content: bytes) -> None:
    assert is_accepted("model.bin", content)


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"\x8c\x02os\x8c\x06system\x93",
        b"U\x02osq\x00h\x00\x93",
        b"X\x04\0\0\0aaaa0cos\nsystem\n",
        b"B\xff\0\0\0" + bytes(255) + b"0cos\nsystem\n",
        b"\x8e" + struct.pack("<Q", 9) + bytes(9) + b"cos\nsystem\n",
        b"\x95" + bytes(8) + b"cos\nsystem\n",
        b"Vtext\n0cos\nsystem\n",
        b"V" + b"a" * 5_000_000,
        b"0" * 1_000_001,
    ],
)
def test_a_bin_that_could_import_or_never_ends_is_refused(content: bytes) -> None:
    assert is_refused("model.bin", content)


def test_a_model_that_is_also_a_pickle_is_refused_where_it_would_be_loaded_as_one() -> None:
    # BINFLOAT takes what follows the G of GGUF; the rest is as a hostile writer could have it.
    both = b"GGUF\3\0\0\0\0cos\nsystem\n"
    assert is_refused("pytorch_model.bin", both)


def test_weights_at_random_are_hardly_ever_taken_for_a_pickle() -> None:
    weights = random.Random(20)
    for _ in range(300):
        assert is_accepted("openvino.bin", weights.randbytes(2000))


def test_other_files_are_not_looked_at_as_if_they_were_pickles() -> None:
    for name in ("vocab.txt", "merges.csv", "LICENSE", "model.py"):
        assert is_accepted(name, b"city\nname\n")


def test_pickles_can_be_allowed_and_count_as_models() -> None:
    assert verify({"model.pt": b"anything"}, allow_pickle=True) == Finding()
    assert verify({"model.bin": archive(TORCH)}, allow_pickle=True) == Finding()
    assert verify({"a.zip": b"PK\3\4"}, allow_pickle=True) == Finding()
    assert "is cut short" in refusal({"m.pt": b"", "m.gguf": gguf()[:-1]}, allow_pickle=True)


def test_models_proper_are_none() -> None:
    assert verify({"a.safetensors": safetensors(), "b.gguf": gguf()}) == Finding()


VALUES = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.just(print),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(VALUES, st.sampled_from(PROTOCOLS))
def test_whatever_is_pickled_is_refused_if_it_imports_something(value: object, protocol: int) -> None:
    pickled = pickle.dumps(value, protocol)
    if any(opcode.name in {"GLOBAL", "STACK_GLOBAL"} for opcode, _, _ in pickletools.genops(pickled)):
        assert is_refused("model.bin", pickled)
    else:
        assert is_accepted("model.bin", pickled)


WHOLE = archive(TORCH | {"more": array()}, compressed=zipfile.ZIP_DEFLATED)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 255)), max_size=6), st.integers(-30, 30))
def test_any_changed_archive_is_accepted_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    judged({"a.zip": mutated(WHOLE, changes, cut)}, formats=[])


STARTS = [b"", b"\x80\4", b"PK\3\4", b"\x93NUMPY\1\0", b"\x1f\x8b", b"BZh9", b"\x5d\0\0"]


@given(st.binary(max_size=200), st.sampled_from(STARTS))
def test_anything_is_accepted_or_refused(content: bytes, start: bytes) -> None:
    judged({"a.bin": start + content}, formats=[])
