"""safetensors: eight bytes with the header's length, the header as JSON, then the tensors without gap or overlap.

By the format's description and by what its own reader refuses (huggingface/safetensors, `tensor.rs`). A type that isn't
known here is one that came later: its size isn't checked, its place is.
"""

from math import prod
from typing import NamedTuple

from refresher.contract import Candidate
from refresher.verifiers.model.header import TENSORS_LIMIT, Header
from refresher.verifiers.model.json_text import JsonText

MiB = 1024 * 1024

HEADER_LIMIT = 16 * MiB
"""Bytes. The format allows 100 MB; the 91 000 tensors of one of the largest models, all in one file, would take 12."""

WIDE_HEADER_LIMIT = 4 * MiB
"""Bytes, if it isn't ASCII: one character beyond the others makes text of four bytes a character out of all of it."""

LENGTH = 8
COUNTABLE = 2**64
_DIMENSIONS = 64
_KEYS = 16
_REMARKS = 65_536
"""Entries of `__metadata__`, whose keys are kept to find one that is there twice."""

BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


class Tensor(NamedTuple):
    """Where one tensor lies in the buffer, in bytes; `size` is by its shape, None for a type that isn't known."""

    begin: int
    end: int
    name: str
    size: int | None


def begins(start: bytes, *, size: int) -> bool:
    """Whether a file begins as one of this format, whatever its name: a length that can be, and an object."""
    return start[LENGTH : LENGTH + 2] == b'{"' and int.from_bytes(start[:LENGTH], "little") <= size - LENGTH


def check(header: Header, candidate: Candidate) -> None:
    """Raises RejectedError if the header can't be read, or the tensors don't cover the rest of the file exactly."""
    length = header.integer(LENGTH, order="little")
    if length > header.size - LENGTH:
        raise header.cut_short(LENGTH + length)
    if length > HEADER_LIMIT:
        raise header.wrong(f"has a header of {length} bytes, and at most {HEADER_LIMIT} are read")
    header.refuse_other_size(LENGTH + length + _buffer_size(header, header.take(length)))


def _buffer_size(header: Header, written: bytes) -> int:
    try:
        return _contiguous(_tensors(JsonText(_decoded(written))))
    except ValueError as error:
        problem = str(error)
    raise header.wrong(f"has a header that is not as safetensors has it: {problem}")


def _decoded(written: bytes) -> str:
    if len(written) > WIDE_HEADER_LIMIT and not written.isascii():
        raise ValueError(f"it has more than {WIDE_HEADER_LIMIT} bytes and isn't ASCII")
    try:
        return written.decode()
    except UnicodeDecodeError as error:
        position = error.start
    raise ValueError(f"it is not UTF-8 at byte {position}")


def _contiguous(tensors: list[Tensor]) -> int:
    """Where the last tensor ends."""
    end = 0
    for tensor in sorted(tensors):
        begin, size = tensor.begin, tensor.end - tensor.begin
        if begin != end or size < 0:
            raise ValueError(f"{_shown(tensor.name)} lies at {begin} to {tensor.end}, and the one before ends at {end}")
        if tensor.size not in {None, size}:
            raise ValueError(f"{_shown(tensor.name)} has {size} bytes, and by its shape {tensor.size}")
        end = tensor.end
    return end


def _tensors(text: JsonText) -> list[Tensor]:
    tensors: dict[str, Tensor] = {}
    remarks: set[str] = set()
    for name in text.members():
        if name == "__metadata__":
            _read_remarks(text, remarks)
        elif name in tensors or len(tensors) == TENSORS_LIMIT:
            raise ValueError(f"{_shown(name)} is there twice, or there are more than {TENSORS_LIMIT} tensors")
        else:
            tensors[name] = _tensor(text, name)
    text.end()
    return list(tensors.values())


def _read_remarks(text: JsonText, remarks: set[str]) -> None:
    for key in text.members():
        if key in remarks or len(remarks) == _REMARKS:
            raise ValueError(f"__metadata__ has a key twice, or more than {_REMARKS} keys")
        remarks.add(key)
        text.string()


def _tensor(text: JsonText, name: str) -> Tensor:
    kind, shape, offsets = "", [0], [0]
    found: set[str] = set()
    for key in text.members():
        if key in found or len(found) == _KEYS:
            raise ValueError(f"{_shown(name)} has a key twice, or more than {_KEYS} keys")
        found.add(key)
        match key:
            case "dtype":
                kind = text.string()
            case "shape":
                shape = _counts(text, most=_DIMENSIONS)
            case "data_offsets":
                offsets = _counts(text, most=2)
            case _:
                text.skip()
    if not {"dtype", "shape", "data_offsets"} <= found or len(offsets) != 2:
        raise ValueError(f"{_shown(name)} lacks its type, its shape or its two offsets")
    begin, end = offsets
    return Tensor(begin, end, name, _size(kind, shape, name))


def _size(kind: str, shape: list[int], name: str) -> int | None:
    if kind not in BITS:
        return None
    size, rest = divmod(prod(shape) * BITS[kind], 8)
    if rest or size >= COUNTABLE:
        raise ValueError(f"{_shown(name)} doesn't end with a whole byte, or after more than can be counted")
    return size


def _counts(text: JsonText, *, most: int) -> list[int]:
    counts: list[int] = []
    for _ in text.items():
        if len(counts) == most:
            raise ValueError(f"a list has more than {most} numbers")
        counts.append(text.count())
    return counts


def _shown(name: str) -> str:
    shown = name if name.isprintable() else ascii(name)
    return shown if len(shown) <= 200 else f"{shown[:200]}…"
