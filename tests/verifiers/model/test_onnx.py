import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresher.contract import Finding
from tests.fakes.model_formats import external, number, onnx, part, varint
from tests.verifiers.model.judging import judged, mutated, refusal, verify

NAME = "model.onnx"
GOOD = onnx()
DATA = {"W.data": bytes(100)}


def said(content: bytes, **files: bytes) -> str:
    return refusal({NAME: content} | files)


def test_a_whole_model_is_accepted() -> None:
    assert verify({NAME: GOOD}) == Finding()


def test_a_model_that_is_cut_short_anywhere_is_refused() -> None:
    for length in range(len(GOOD)):
        refused = said(GOOD[:length])
        assert "cut short" in refused, length
    size = len(GOOD)
    assert said(GOOD[:-1]) == (
        f"model.onnx is cut short: by its header it has at least {size} bytes, and there are {size - 1}"
    )


@pytest.mark.parametrize("padding", [b"\0", b"\0" * 64, b"\xff" * 64, b"\n", b"<!-- -->"], ids=str)
def test_a_model_with_bytes_after_its_end_is_refused(padding: bytes) -> None:
    assert re.search("bytes after its end|without end|is cut short", said(GOOD + padding))


def test_a_model_without_what_every_model_has_is_refused() -> None:
    graph, opsets = part(7, b""), part(8, b"")
    assert verify({NAME: number(1, 8) + graph + opsets}) == Finding()
    assert verify({NAME: number(1, 2) + graph}) == Finding()
    for content in (graph + opsets, number(1, 8) + opsets, number(1, 8) + graph, part(1, b"") + graph + opsets, b""):
        assert "its version, its graph or its operator sets are missing" in said(content)


def test_fields_that_came_later_are_passed_over() -> None:
    later = number(99, 2**63) + part(98, b"x") + varint(97 << 3 | 1) + bytes(8) + varint(96 << 3 | 5) + bytes(4)
    assert verify({NAME: GOOD + later}) == Finding()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (varint(9 << 3 | 3), "is no protobuf message"),
        (varint(9 << 3 | 4), "is no protobuf message"),
        (varint(9 << 3 | 7), "is no protobuf message"),
        (varint(0 << 3) + b"\1", "is no protobuf message"),
        (b"\x80" * 11, "has a number without end"),
        (varint(2 << 3 | 2) + varint(2**63), "is cut short"),
        (part(7, part(5, b"x")[:-1]) + bytes(99), "has a part that ends at 5, beyond the one that holds it, at 4"),
        (part(7, number(3, 2**40)[:-2]) + bytes(99), "beyond the one that holds it"),
    ],
)
def test_what_is_no_message_is_refused(content: bytes, problem: str) -> None:
    assert problem in said(content)


def test_data_in_another_file_has_to_be_there_and_long_enough() -> None:
    model = onnx(external(location="W.data", offset="64", length="36"))
    assert verify({NAME: model} | DATA) == Finding()
    assert "model.onnx looks for data in a file that isn't there: 'W.data'" in said(model)
    assert "model.onnx looks for 100 bytes in W.data, and there are 99" in said(model, **{"W.data": bytes(99)})


def test_a_place_is_relative_to_the_model() -> None:
    files = {"deep/model.onnx": onnx(external(location="./data/W")), "deep/data/W": b""}
    assert verify(files) == Finding()
    assert "isn't there: './data/W'" in refusal({"deep/model.onnx": files["deep/model.onnx"], "data/W": b""})


@pytest.mark.parametrize("location", ["../W.data", "/W.data", "x/../W.data", "", ".", "W.data\0", "a\nb"])
def test_a_place_that_leads_elsewhere_is_refused(location: str) -> None:
    refused = said(onnx(external(location=location)), **DATA)
    assert refused == f"model.onnx looks for data in a file that isn't there: {location!r}"


@pytest.mark.parametrize("written", ["-1", "1.0", "x", "", "\u0661", "9" * 20])
def test_a_place_that_is_no_number_is_refused(written: str) -> None:
    for key in ("offset", "length"):
        refused = said(onnx(external(location="W.data", **{key: written})), **DATA)
        assert "has a place of data that is no number" in refused


def test_data_that_is_elsewhere_needs_a_place() -> None:
    assert "isn't there: ''" in said(onnx(external()))
    twice = part(13, part(1, b"location") + part(2, b"W.data"))
    assert "says twice where its data is" in said(onnx(twice * 2), **DATA)
    assert "more than 16384 bytes" in said(onnx(external(location="a" * 20_000)))


ELSEWHERE = external(location="gone")


@pytest.mark.parametrize(
    "model",
    [
        onnx(ELSEWHERE),
        onnx(graph=part(1, part(5, part(5, ELSEWHERE)))),
        onnx(graph=part(1, part(5, part(10, ELSEWHERE)))),
        onnx(graph=part(1, part(5, part(6, part(5, ELSEWHERE))))),
        onnx(graph=part(1, part(5, part(11, part(5, ELSEWHERE))))),
        onnx(graph=part(15, part(1, ELSEWHERE))),
        onnx(graph=part(1, part(5, part(22, part(2, ELSEWHERE))))),
        onnx() + part(25, part(7, part(5, part(5, ELSEWHERE)))),
        onnx() + part(20, part(2, part(5, ELSEWHERE))),
    ],
    ids=["weight", "constant", "constants", "branch", "branches", "sparse", "sparse constant", "function", "training"],
)
def test_tensors_are_found_wherever_a_model_has_them(model: bytes) -> None:
    assert "isn't there: 'gone'" in said(model)


def test_graphs_in_graphs_end_somewhere() -> None:
    graph = b""
    for _ in range(60):
        graph = part(1, part(5, part(6, graph)))
    assert "is nested too deeply" in said(onnx(graph=graph))


@given(st.lists(st.tuples(st.integers(0, len(GOOD) + 60), st.integers(0, 255)), max_size=4), st.integers(-20, 20))
def test_any_changed_model_is_accepted_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    model = onnx(external(location="W.data", offset="0", length="100"))
    judged({NAME: mutated(model, changes, cut)} | DATA)


@given(st.binary(max_size=60))
def test_anything_under_the_name_is_accepted_or_refused(content: bytes) -> None:
    judged({NAME: content})
