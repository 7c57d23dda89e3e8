"""GGUF 2 and 3: counts, metadata, descriptions of the tensors, then the tensors, each at a multiple of the alignment.

By the format's description (ggml, `docs/gguf.md`) and by what llama.cpp refuses; sizes of the types by its
`gguf-py/gguf/constants.py`. Of a type that isn't known here only the place is checked. Files of big-endian machines
differ in the order of all numbers, their version's too, and are known by it.
"""

from math import prod
from typing import NamedTuple

from refresher.contract import Candidate
from refresher.verifiers.model.header import TENSORS_LIMIT, Header, Order

MAGIC = b"GGUF"
VERSIONS = (2, 3)

METADATA_LIMIT = 65_536
"""Entries, whose keys are kept to find one that is there twice."""

KEY_LIMIT = 65_535
"""Bytes, by the format."""

NAME_LIMIT = 1024
"""Bytes; the format allows 64."""

COUNTABLE = 2**63
"""Numbers in a tensor: llama.cpp counts them with a sign."""

DIMENSIONS = 8
"""The format allows 4, and may allow more."""

ALIGNMENT = "general.alignment"
_USUAL_ALIGNMENT = 32
_DEPTH = 4

_UINT32, _STRING, _ARRAY = 4, 8, 9
VALUES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value of each type but text and arrays."""

BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    30: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    20: (32, 18),
    39: (32, 17),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    29: (256, 56),
    34: (256, 54),
    35: (256, 66),
    40: (64, 36),
    41: (128, 18),
}
"""Numbers in a block of each type, and the block's bytes."""


class Tensor(NamedTuple):
    """Where one tensor lies in the data, in bytes; `size` is None for a type that isn't known."""

    offset: int
    size: int | None
    name: bytes


class Numbers:
    """A header's numbers, in the order of bytes that its version shows."""

    def __init__(self, header: Header) -> None:
        self.header = header
        version = header.take(4)
        # 3 read in the wrong order is 0x03000000.
        self._order: Order = "big" if version[:2] == b"\0\0" else "little"
        self.version = int.from_bytes(version, self._order)

    def four(self) -> int:
        """A number of four bytes."""
        return self.header.integer(4, order=self._order)

    def eight(self) -> int:
        """A number of eight bytes."""
        return self.header.integer(8, order=self._order)

    def name(self, *, most: int) -> bytes:
        """A short text."""
        length = self.eight()
        if length > most:
            raise self.header.wrong(f"has a name of {length} bytes in its header, and at most {most} are allowed")
        return self.header.take(length)


def check(header: Header, candidate: Candidate) -> None:
    """Raises RejectedError if the header can't be read, tensors overlap, or they don't end where the file does."""
    if header.take(len(MAGIC)) != MAGIC:
        raise header.wrong("doesn't begin as GGUF files do")
    numbers = Numbers(header)
    if numbers.version not in VERSIONS:
        raise header.wrong(f"is GGUF of version {numbers.version}; known are 2 and 3")
    count, pairs = numbers.eight(), numbers.eight()
    if count > TENSORS_LIMIT or pairs > METADATA_LIMIT:
        raise header.wrong(f"has {count} tensors and {pairs} entries; allowed are {TENSORS_LIMIT} and {METADATA_LIMIT}")
    alignment = _alignment(numbers, pairs)
    _refuse_wrong_end(header, _tensors(numbers, count, alignment), alignment)


def _refuse_wrong_end(header: Header, tensors: list[Tensor], alignment: int) -> None:
    start, end, known = _aligned(header.position, alignment), 0, True
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.size or 0)):
        if tensor.offset < end:
            raise header.wrong(f"has a tensor at {tensor.offset}, before the one there ends at {end}: {tensor.name!r}")
        end, known = tensor.offset + (tensor.size or 0), tensor.size is not None
    # Writers differ in whether they pad what comes last.
    least = start + end if tensors else header.position
    header.refuse_other_size(least, padded=_aligned(start + end, alignment) if known else header.size)


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _alignment(numbers: Numbers, pairs: int) -> int:
    """Passes over the metadata, and answers the one entry that says where things are."""
    alignment = _USUAL_ALIGNMENT
    keys: set[bytes] = set()
    for _ in range(pairs):
        key = numbers.name(most=KEY_LIMIT)
        if key in keys:
            raise numbers.header.wrong(f"has the entry {key[:100]!r} twice")
        keys.add(key)
        kind = numbers.four()
        if key != ALIGNMENT.encode():
            _skip(numbers, kind)
        elif kind != _UINT32 or (alignment := numbers.four()) == 0 or alignment & (alignment - 1):
            raise numbers.header.wrong(f"has a {ALIGNMENT} that is no power of two")
    return alignment


def _skip(numbers: Numbers, kind: int, depth: int = 0) -> None:
    if kind in VALUES:
        numbers.header.skip(VALUES[kind])
    elif kind == _STRING:
        numbers.header.skip(numbers.eight())
    elif kind == _ARRAY and depth < _DEPTH:
        of, count = numbers.four(), numbers.eight()
        if of in VALUES:
            numbers.header.skip(VALUES[of] * count)
        else:
            for _ in range(count):
                _skip(numbers, of, depth + 1)
    else:
        raise numbers.header.wrong(f"has an entry of the type {kind}, which isn't known, or arrays nested too deeply")


def _tensors(numbers: Numbers, count: int, alignment: int) -> list[Tensor]:
    tensors: dict[bytes, Tensor] = {}
    for _ in range(count):
        tensor = _tensor(numbers, alignment)
        if tensor.name in tensors:
            raise numbers.header.wrong(f"has the tensor {tensor.name!r} twice")
        tensors[tensor.name] = tensor
    return list(tensors.values())


def _tensor(numbers: Numbers, alignment: int) -> Tensor:
    name = numbers.name(most=NAME_LIMIT)
    dimensions = numbers.four()
    if dimensions > DIMENSIONS:
        raise numbers.header.wrong(f"has a tensor of {dimensions} dimensions: {name!r}")
    shape = [numbers.eight() for _ in range(dimensions)]
    if prod(shape) >= COUNTABLE:
        raise numbers.header.wrong(f"has a tensor of more numbers than can be counted: {name!r}")
    size = _size(numbers.four(), shape)
    offset = numbers.eight()
    if offset % alignment:
        raise numbers.header.wrong(f"has a tensor at {offset}, which is no multiple of {alignment}: {name!r}")
    return Tensor(offset, size, name)


def _size(kind: int, shape: list[int]) -> int | None:
    if kind not in BLOCKS:
        return None
    numbers, size = BLOCKS[kind]
    return -(-prod(shape) // numbers) * size
