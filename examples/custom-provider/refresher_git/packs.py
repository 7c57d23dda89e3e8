"""The objects in a pack, unpacked in memory and never beyond a limit."""

from collections.abc import Callable
from io import SEEK_CUR, BytesIO

from dulwich.object_store import MemoryObjectStore
from dulwich.pack import DELTA_TYPES, PackData, PackInflater, take_msb_bytes, unpack_object

from refresher.errors import PermanentError

HEADER = 12
"""Bytes before the first object: `PACK`, the format's version, how many objects (gitformat-pack)."""


def unpack(pack: bytes, store: MemoryObjectStore, *, limit: int) -> None:
    """Put the pack's objects into the store. Raises PermanentError; whatever dulwich raises for a damaged pack."""
    data = PackData.from_file(BytesIO(pack), store.object_format)
    try:
        data.check()
        _refuse_bomb(pack, data, limit=limit)
        for item in PackInflater.for_pack_data(data, store.get_raw):
            store.add_object(item)
    finally:
        data.close()


def _refuse_bomb(pack: bytes, data: PackData, *, limit: int) -> None:
    """Add up what each object says that it becomes, before it does: a kilobyte of zlib's can become a megabyte."""
    stream, left = BytesIO(pack), limit
    stream.seek(HEADER)
    for _ in range(len(data)):
        start = stream.tell()
        left -= _size(stream.read, bits=4)
        if left >= 0:
            stream.seek(start)
            unpacked, unused = unpack_object(stream.read, data.object_format.hash_func, read_some=stream.read)
            stream.seek(-len(unused), SEEK_CUR)
            if unpacked.pack_type_num in DELTA_TYPES:
                delta = BytesIO(b"".join(unpacked.decomp_chunks))
                _size(delta.read, bits=7)  # of what it is applied to
                left -= _size(delta.read, bits=7)
        if left < 0:
            raise PermanentError(f"the commit becomes more than the limit of {limit} bytes when it is unpacked")


def _size(read: Callable[[int], bytes], *, bits: int) -> int:
    """A number whose first byte holds `bits` bits of it, and each further one seven, the lowest first."""
    first, *more = take_msb_bytes(read)[0]
    size = first & ((1 << bits) - 1)
    for position, byte in enumerate(more):
        size |= (byte & 0x7F) << (bits + 7 * position)
    return size
