"""ONNX: one protobuf message, with its tensors inside of it or in files beside it.

Protobuf has neither a magic nor a length of the whole: what can be checked is that every part lies inside of the part
that holds it, that the last one ends with the file, and that what has to be there is. Numbers of messages and fields
are those of `onnx.proto`; files beside it are those of its `external_data.md`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from refresher.contract import Candidate
from refresher.verifiers.model.header import Header
from refresher.verifiers.model.shards import beside

DEPTH_LIMIT = 100
"""Messages in messages; protobuf's own readers allow as many."""

ENTRY_LIMIT = 16 * 1024
"""Bytes of one entry on a file beside it, whose longest part is the file's name."""

ENTRIES_LIMIT = 16
"""Of one tensor; five are known."""

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_IR_VERSION, _GRAPH, _OPSETS = 1, 7, 8
_KEY, _VALUE = 1, 2
_ENTRY, _PLACE, _ELSEWHERE = 13, 14, 1
_OPSETS_SINCE = 3

PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""The messages that lead to tensors, by field; all other fields are passed over."""


class Field(NamedTuple):
    """One field of a message: a number's `value`, or where the part in it ends, which then begins at the position."""

    number: int
    value: int | None = None
    end: int | None = None


def check(header: Header, candidate: Candidate) -> None:
    """Raises RejectedError if it isn't a whole message, or a file that it refers to isn't there or is too short."""
    found: dict[int, Field] = {}
    for part in _fields(header, header.size):
        if part.number in {_IR_VERSION, _GRAPH, _OPSETS}:
            found[part.number] = part
        _descend(header, candidate, "model", part, depth=1)
    version = found[_IR_VERSION].value if _IR_VERSION in found else None
    if version is None or _GRAPH not in found or (version >= _OPSETS_SINCE and _OPSETS not in found):
        raise header.wrong("is no ONNX model, or cut short: its version, its graph or its operator sets are missing")


def _descend(header: Header, candidate: Candidate, holder: str, part: Field, *, depth: int) -> None:
    kind = PARTS[holder].get(part.number)
    if kind is None or part.end is None:
        return
    if depth > DEPTH_LIMIT:
        raise header.wrong("is nested too deeply")
    if kind == "tensor":
        _refuse_missing_data(header, candidate, part.end)
    else:
        for inner in _fields(header, part.end):
            _descend(header, candidate, kind, inner, depth=depth + 1)


def _fields(header: Header, end: int) -> Iterator[Field]:
    """The fields up to `end`; what the caller leaves of a part is passed over."""
    while header.position < end:
        number, wire = divmod(_varint(header), 8)
        if number == 0 or wire not in {_VARINT, _EIGHT, _LENGTH, _FOUR}:
            raise header.wrong(f"is no protobuf message, or has bytes after its end, at {header.position}")
        if wire == _VARINT:
            yield Field(number, value=_varint(header))
        elif wire == _LENGTH:
            yield (part := Field(number, end=_part_end(header, end)))
            header.skip((part.end or 0) - header.position)
        else:
            header.skip(4 if wire == _FOUR else 8)
    if header.position > end:
        raise header.wrong(f"has a part that ends at {header.position}, beyond the one that holds it, at {end}")


def _part_end(header: Header, end: int) -> int:
    length = _varint(header)
    part_end = header.position + length
    if part_end > header.size:
        raise header.cut_short(part_end)
    if part_end > end:
        raise header.wrong(f"has a part that ends at {part_end}, beyond the one that holds it, at {end}")
    return part_end


def _varint(header: Header) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = header.take(1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise header.wrong(f"has a number without end at byte {header.position}")


def _refuse_missing_data(header: Header, candidate: Candidate, end: int) -> None:
    entries: dict[str, str] = {}
    elsewhere = False
    for part in _fields(header, end):
        if part.number == _ENTRY and part.end is not None:
            key, value = _entry(header, part.end)
            if key in entries or len(entries) == ENTRIES_LIMIT:
                raise header.wrong("has a tensor that says twice where its data is")
            entries[key] = value
        elif part.number == _PLACE:
            elsewhere = part.value == _ELSEWHERE
    if entries or elsewhere:
        _refuse_missing_file(header, candidate, entries)


def _entry(header: Header, end: int) -> tuple[str, str]:
    if end - header.position > ENTRY_LIMIT:
        raise header.wrong(f"has an entry of more than {ENTRY_LIMIT} bytes on where a tensor's data is")
    texts = {_KEY: "", _VALUE: ""}
    for part in _fields(header, end):
        if part.end is not None:
            texts[part.number] = header.take(part.end - header.position).decode(errors="replace")
    return texts[_KEY], texts[_VALUE]


def _refuse_missing_file(header: Header, candidate: Candidate, entries: dict[str, str]) -> None:
    location = entries.get("location", "")
    name = beside(header.name, location)
    if name is None or name not in candidate.files:
        raise header.wrong(f"looks for data in a file that isn't there: {location!a}")
    offset, length = (_number(header, entries.get(key, "0")) for key in ("offset", "length"))
    if offset + length > (size := candidate.files[name].size):
        raise header.wrong(f"looks for {offset + length} bytes in {name}, and there are {size}")


def _number(header: Header, written: str) -> int:
    if not (written.isascii() and written.isdigit() and len(written) < 20):
        raise header.wrong(f"has a place of data that is no number: {written[:100]!a}")
    return int(written)
