"""Archives, well and ill meant, and what becomes of them."""

import gzip
import io
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tarfile import TarInfo

import pytest
from backports import zstd

from refresher.archives import unpack
from refresher.contract import StagedFile
from refresher.errors import RejectedError
from refresher.volume import Directory
from tests.descriptors import descriptors
from tests.fakes.source import Source, asset

FILES = {"model.bin": bytes(range(256)) * 40, "code/inference.py": b"print()\n", "code/empty": b""}
END = bytes(1024)


def member(name: str, content: bytes = b"", **facts: object) -> tuple[TarInfo, bytes]:
    """A member of a tar archive; `facts` are attributes of its header."""
    header = TarInfo(name)
    header.size = len(content)
    for fact, value in facts.items():
        setattr(header, fact, value)
    return header, content


def link(name: str, target: str, kind: bytes) -> tuple[TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


def tarred(*members: tuple[TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    """The archive of these members, with its end mark."""
    return b"".join(blocks(header, content, format=format) for header, content in members) + END


def blocks(header: TarInfo, content: bytes, *, format: int = tarfile.PAX_FORMAT) -> bytes:  # noqa: A002
    """One member as it stands in an archive."""
    return header.tobuf(format, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)


def raw_header(name: str, kind: bytes, size: int) -> bytes:
    """A header block with claims that `tarfile` wouldn't write."""
    header = TarInfo(name)
    header.type, header.size = kind, size
    return header.tobuf(tarfile.GNU_FORMAT)


def tar_of(files: Mapping[str, bytes]) -> bytes:
    kinds = {True: tarfile.DIRTYPE, False: tarfile.REGTYPE}
    return tarred(*(member(name, content, type=kinds[name.endswith("/")]) for name, content in files.items()))


def zip_of(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    return zipped(*((zipfile.ZipInfo(name), content) for name, content in files.items()), method=method)


def info(name: str, kind: int = 0, **facts: object) -> zipfile.ZipInfo:
    """The header of a member of a zip archive; `kind` as `stat` has it."""
    made = zipfile.ZipInfo(name)
    made.external_attr = (kind | 0o644) << 16
    for fact, value in facts.items():
        setattr(made, fact, value)
    return made


def zipped(*members: tuple[zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info, content in members:
            archive.writestr(info, content, compress_type=method)
    return buffer.getvalue()


def local_entry(name: bytes, deflated: bytes, *, crc: int, size: int, extra: bytes = b"") -> bytes:
    facts = (20, 0, 8, 0, 33, crc, len(deflated), size, len(name), len(extra))
    return struct.pack("<4s5H3L2H", b"PK\x03\x04", *facts) + name + extra + deflated


def directory_entry(name: bytes, *, crc: int, compressed: int, size: int, at: int) -> bytes:
    facts = (20, 20, 0, 8, 0, 33, crc, compressed, size, len(name), 0, 0, 0, 0, 0, at)
    return struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *facts) + name


def zip_end(directory: bytes, *, at: int, entries: int) -> bytes:
    count = min(entries, 0xFFFF)
    return directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), at, 0)


def deflated(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


KINDS: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    "a.tar": tar_of,
    "a.tar.gz": lambda files: gzip.compress(tar_of(files), mtime=0),
    "a.tar.zst": lambda files: zstd.compress(tar_of(files)),
    "a.zip": zip_of,
}
"""A name, and how an archive of that kind is made."""


@dataclass
class Delivery:
    """Bytes that come in one buffer, which is used again: a chunk is valid until the next one is asked for."""

    pieces: Iterator[bytes]
    received: int = 0

    def __iter__(self) -> Iterator[memoryview]:
        buffer = bytearray(2**20)
        for piece in self.pieces:
            self.received += len(piece)
            buffer[: len(piece)] = piece
            yield memoryview(buffer)[: len(piece)]
            buffer[: len(piece)] = bytes(len(piece))


def sliced(content: bytes, size: int = 2**16) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


@contextmanager
def somewhere() -> Iterator[Path]:
    """A directory to unpack into: its surroundings have to stay as they are, and nothing of ours behind."""
    with tempfile.TemporaryDirectory() as around:
        inside = Path(around) / "inside"
        inside.mkdir()
        (Path(around) / "x").write_text("untouched")
        before = descriptors()
        yield inside
        assert sorted(os.listdir(around)) == ["inside", "x"]
        assert (Path(around) / "x").read_text() == "untouched"
        assert not [name for name in os.listdir(inside) if name.startswith("..")]
        assert all(path.is_dir() or path.is_file() for path in inside.rglob("*"))
        assert not any(path.is_symlink() for path in inside.rglob("*"))
        assert descriptors() <= before


def unpacked(
    inside: Path,
    name: str,
    content: bytes | Delivery,
    *,
    taken: tuple[str, ...] = (),
    sensitive: bool = False,
    **changes: object,
) -> dict[str, StagedFile]:
    """Unpack it; `changes` are the asset's."""
    delivery = content if isinstance(content, Delivery) else Delivery(sliced(content))
    changed = replace(asset(inside, Source()), **changes)  # type: ignore[arg-type]
    with Directory.at(inside) as into:
        return unpack(name, iter(delivery), into=into, asset=changed, sensitive=sensitive, taken=taken)


def expect_rejected(name: str, content: bytes | Delivery, words: str, **changes: object) -> None:
    with somewhere() as inside, pytest.raises(RejectedError, match=words):
        unpacked(inside, name, content, **changes)  # type: ignore[arg-type]


def contents(inside: Path) -> dict[str, bytes]:
    """Every file below, by its relative name."""
    return {str(path.relative_to(inside)): path.read_bytes() for path in inside.rglob("*") if path.is_file()}
