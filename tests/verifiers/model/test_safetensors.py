import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresher.contract import Finding
from refresher.verifiers.model.header import TENSORS_LIMIT
from refresher.verifiers.model.safetensors import BITS, HEADER_LIMIT
from tests.fakes.model_formats import safetensors, tensor
from tests.verifiers.model.judging import judged, mutated, refusal, verify

NAME = "model.safetensors"
GOOD = safetensors()


def said(header: dict[str, Any] | bytes, *, data: int = 12) -> str:
    return refusal({NAME: safetensors(header, data=data)})


def test_a_whole_file_is_accepted() -> None:
    assert verify({NAME: GOOD}) == Finding()


def test_what_the_format_s_own_writer_wrote_is_accepted() -> None:
    # The bytes of the first example in the tests of huggingface/safetensors.
    header = b'{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}'
    assert verify({NAME: b"\x40\0\0\0\0\0\0\0" + header + bytes(24)}) == Finding()
    assert verify({NAME: b"\x08\0\0\0\0\0\0\0{}      "}) == Finding()


@pytest.mark.parametrize("kind", BITS)
def test_every_type_takes_as_many_bytes_as_it_says(kind: str) -> None:
    size = 8 * BITS[kind] // 8
    assert verify({NAME: safetensors({"a": tensor(0, size, kind, [2, 4])}, data=size)})
    assert "by its shape" in said({"a": tensor(0, size + 1, kind, [2, 4])}, data=size + 1)


def test_of_a_type_that_is_not_known_only_the_place_is_checked() -> None:
    assert verify({NAME: safetensors({"a": tensor(0, 12, "F5", [9])})}) == Finding()
    assert "is cut short" in said({"a": tensor(0, 13, "F5", [9])})


def test_a_file_that_is_cut_short_is_refused_with_both_sizes() -> None:
    size = len(GOOD)
    assert refusal({NAME: GOOD[:-1]}) == (
        f"model.safetensors is cut short: by its header it has at least {size} bytes, and there are {size - 1}"
    )
    for length in range(size):
        assert "is cut short" in refusal({NAME: GOOD[:length]})


def test_a_file_with_bytes_after_its_end_is_refused_with_both_sizes() -> None:
    size = len(GOOD)
    assert refusal({NAME: GOOD + b"\0"}) == (
        f"model.safetensors has bytes after its end: by its header it has {size} bytes, and there are {size + 1}"
    )


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ({"a": tensor(0, 5), "b": tensor(4, 12)}, "b lies at 4 to 12, and the one before ends at 5"),
        ({"a": tensor(0, 4), "b": tensor(5, 12)}, "b lies at 5 to 12, and the one before ends at 4"),
        ({"a": tensor(1, 12)}, "a lies at 1 to 12, and the one before ends at 0"),
        ({"a": tensor(0, 12), "b": tensor(12, 8, shape=[4])}, "b lies at 12 to 8"),
        ({"a": tensor(0, 12, "F32", [2])}, "a has 12 bytes, and by its shape 8"),
        (
            {"a": tensor(0, 12, "F32", [2**64 - 1] * 64)},
            "or after more than can be counted",
        ),
        ({"a": tensor(0, 1, "F4", [3])}, "a doesn't end with a whole byte"),
        ({"a": tensor(0, 12, shape=[1] * 65)}, "a list has more than 64 numbers"),
        ({"a": {"dtype": "U8", "shape": [12], "data_offsets": [0, 12, 12]}}, "a list has more than 2 numbers"),
        ({"a": {"dtype": "U8", "shape": [12], "data_offsets": [12]}}, "a lacks its type, its shape or its two offsets"),
        ({"a": {"dtype": "U8", "data_offsets": [0, 12]}}, "a lacks its type"),
        ({"a": tensor(0, 12) | {f"k{number}": 0 for number in range(14)}}, "a has a key twice, or more than 16 keys"),
        ({"a": {"dtype": "U8", "shape": [-12], "data_offsets": [0, 12]}}, "a whole number from 0 on is missing"),
        ({"a": {"dtype": "U8", "shape": [12.0], "data_offsets": [0, 12]}}, "a whole number from 0 on is missing"),
        ({"a": {"dtype": "U8", "shape": [12], "data_offsets": [0, 10**20]}}, "a whole number from 0 on is missing"),
        ({"a": {"dtype": 1, "shape": [12], "data_offsets": [0, 12]}}, '" is missing'),
        ({"__metadata__": {"format": 1}}, '" is missing'),
        ({"__metadata__": []}, "{ is missing"),
        (b"[]", "{ is missing at character 0"),
        (b"", "{ is missing at character 0"),
        (b'{"a":{"x":1}', "a lacks its type"),
        (b"{} {}", "something follows its end, at character 3"),
        (b'{"\xff":0}', "it is not UTF-8 at byte 2"),
        (b'{"a\n":0}', "a text is not as JSON has it"),
        (b'{"a":{"x":' + b"[" * 100, "it is nested too deeply"),
        (b'{"a":{"x":nil}}', "a value is missing"),
    ],
)
def test_a_header_that_the_format_does_not_allow_is_refused(header: dict[str, Any] | bytes, problem: str) -> None:
    refused = said(header)
    assert refused.startswith("model.safetensors has a header that is not as safetensors has it: ")
    assert problem in refused


def test_what_is_there_twice_is_refused() -> None:
    entry = json.dumps(tensor(0, 12)).encode()
    assert "is there twice" in said(b'{"a":%b,"\\u0061":%b}' % (entry, entry))
    assert "a has a key twice" in said(b'{"a":{"dtype":"U8","dtype":"U8"}}')
    assert "has a key twice" in said(b'{"__metadata__":{"a":"1","a":"2"}}')


def test_other_keys_of_a_tensor_are_passed_over() -> None:
    entry = tensor(0, 12) | {"x": [1, {"y": [True, None, "z", -1.5e3]}]}
    assert verify({NAME: safetensors({"a": entry})}) == Finding()


def test_a_header_that_is_too_long_is_refused_before_it_is_read() -> None:
    length = struct.pack("<Q", HEADER_LIMIT + 1)
    assert "at most 16777216 are read" in refusal({NAME: length + bytes(HEADER_LIMIT + 1)})
    assert "by its header it has at least 18446744073709551623 bytes" in refusal({NAME: b"\xff" * 8 + b"{}"})
    assert "isn't ASCII" in said('{"é":"'.encode() + b"a" * 4 * 1024 * 1024 + b'"}')


def test_a_header_of_too_many_tensors_is_refused() -> None:
    entries = ",".join(
        f'"{number}":{{"dtype":"","shape":[],"data_offsets":[0,0]}}' for number in range(TENSORS_LIMIT + 1)
    )
    assert "more than 131072 tensors" in said(f"{{{entries}}}".encode())


def test_a_pickle_under_the_name_is_no_model() -> None:
    assert "runs code" in refusal({NAME: b"\x80\x04\x8c\x02os\x8c\x06system\x93."})


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 255)), max_size=4), st.integers(-20, 20))
def test_any_changed_file_is_accepted_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    judged({NAME: mutated(GOOD, changes, cut)})


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "a"]), inner)
    ),
)


@given(JSON | st.dictionaries(st.text(), st.builds(tensor, st.integers(), st.integers(), st.text(), JSON | st.none())))
def test_any_header_is_accepted_or_refused(header: Any) -> None:
    judged({NAME: safetensors(json.dumps(header).encode())})


@given(st.binary(max_size=60))
def test_anything_under_the_name_is_accepted_or_refused(content: bytes) -> None:
    judged({NAME: content})
