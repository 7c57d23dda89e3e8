"""Model files by their formats' descriptions, as small as can be."""

import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence

Entry = Mapping[str, object]


def tensor(begin: int, end: int, kind: str = "U8", shape: Sequence[int] | None = None) -> dict[str, object]:
    """A safetensors entry."""
    return {"dtype": kind, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


def safetensors(header: Mapping[str, object] | bytes | None = None, *, data: int = 12) -> bytes:
    """A safetensors file with `data` bytes after this header."""
    usual = {"__metadata__": {"format": "pt"}, "b": tensor(8, 12), "a": tensor(0, 8, "F32", [2, 1])}
    written = header if isinstance(header, bytes) else json.dumps(usual if header is None else header).encode()
    return struct.pack("<Q", len(written)) + written + bytes(data)


class Gguf:
    """A GGUF file in one order of bytes; `tensors` are name, shape, type and offset."""

    def __init__(self, *, order: str = "<", version: int = 3) -> None:
        self.order, self.version = order, version
        self.entries: list[bytes] = []
        self.tensors: list[bytes] = []

    def pack(self, form: str, *values: object) -> bytes:
        return struct.pack(self.order + form, *values)

    def text(self, text: bytes) -> bytes:
        return self.pack("Q", len(text)) + text

    def entry(self, key: bytes, kind: int, value: bytes) -> "Gguf":
        self.entries.append(self.text(key) + self.pack("I", kind) + value)
        return self

    def words(self, *words: bytes) -> "Gguf":
        listed = self.pack("IQ", 8, len(words)) + b"".join(map(self.text, words))
        return self.entry(b"tokenizer.ggml.tokens", 9, listed)

    def tensor(self, name: bytes, shape: Sequence[int], kind: int, offset: int) -> "Gguf":
        described = self.pack("I", len(shape)) + b"".join(self.pack("Q", size) for size in shape)
        self.tensors.append(self.text(name) + described + self.pack("IQ", kind, offset))
        return self

    def head(self) -> bytes:
        counts = self.pack("IQQ", self.version, len(self.tensors), len(self.entries))
        return b"GGUF" + counts + b"".join(self.entries + self.tensors)

    def file(self, data: int, *, alignment: int = 32) -> bytes:
        head = self.head()
        return head + bytes(-len(head) % alignment + data)


def gguf(*, order: str = "<", data: int = 100) -> bytes:
    """Text, arrays and two tensors, the last of 36 bytes at 64."""
    file = Gguf(order=order)
    file.words(b"one", b"", b"three").entry(b"x", 6, file.pack("f", 1)).entry(b"y", 9, file.pack("IQ3H", 2, 3, 1, 2, 3))
    return file.tensor(b"a", [4, 2, 2], 0, 0).tensor(b"b", [64], 8, 64).file(64 + data - 32)


def varint(value: int) -> bytes:
    written = b""
    while value > 0x7F:
        written, value = written + bytes([value & 0x7F | 0x80]), value >> 7
    return written + bytes([value])


def number(field: int, value: int) -> bytes:
    """A protobuf field with a number."""
    return varint(field << 3) + varint(value)


def part(field: int, content: bytes) -> bytes:
    """A protobuf field with a message, a text or bytes."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def external(**entries: str) -> bytes:
    """An ONNX tensor whose data is elsewhere."""
    listed = (part(13, part(1, key.encode()) + part(2, value.encode())) for key, value in entries.items())
    return number(1, 4) + number(2, 1) + part(8, b"W") + b"".join(listed) + number(14, 1)


def onnx(*initializers: bytes, graph: bytes = b"") -> bytes:
    """An ONNX model: its version, its producer, its graph, its operator sets."""
    node = part(1, part(1, b"X") + part(2, b"Y") + part(4, b"Relu"))
    inside = number(1, 2) + number(2, 1) + part(9, bytes(8))
    tensors = b"".join(part(5, tensor) for tensor in (inside, *initializers))
    return number(1, 8) + part(2, b"test") + part(7, node + part(2, b"g") + tensors + graph) + part(8, number(2, 17))


def archive(members: Mapping[str, bytes], *, compressed: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive, which PyTorch's and NumPy's files are."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compressed) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return written.getvalue()


def array(kind: str = "'<f4'", *, version: int = 1) -> bytes:
    """A NumPy file of three numbers."""
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': (3,), }}\n".encode()
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + len(header).to_bytes(2 if version == 1 else 4, "little")
        + header
        + bytes(12)
    )


def index(shards: Iterable[str]) -> bytes:
    """What Hugging Face's tools write beside a model in several files."""
    mapped = {f"layer.{place}": shard for place, shard in enumerate(shards)}
    return json.dumps({"metadata": {"total_size": 1, "more": [{"x": None}, -1.5e3]}, "weight_map": mapped}).encode()
