"""Reading what providers answer, as staging does."""

from collections.abc import Callable
from contextlib import closing

from refresher.contract import ByteStream, Fetched, Held, Provider, RemoteFile


def rest(stream: ByteStream, chunk: int = 65536) -> bytes:
    received, buffer = bytearray(), memoryview(bytearray(chunk))
    while count := stream.readinto(buffer):
        received += buffer[:count]
    return bytes(received)


def content(file: RemoteFile, offset: int = 0) -> bytes:
    with closing(file.open(offset)) as stream:
        return rest(stream)


def fetched(provider: Provider, held: Held | None = None) -> tuple[str, dict[str, bytes]]:
    """The revision, and every file's content."""
    with provider.fetch(held) as answer:
        assert isinstance(answer, Fetched)
        return answer.revision, {file.name: content(file) for file in answer.files}


def holding(revision: str) -> Held:
    return Held(revision=revision, digests={})


def opened_after(provider: Provider, event: Callable[[], object], offset: int = 0) -> None:
    """Fetch; after `event` at the source open the first file, as a reader that comes late."""
    with provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        event()
        answer.files[0].open(offset).close()


def left_after(provider: Provider, event: Callable[[], object]) -> None:
    """Fetch and read; then let `event` happen at the source before the context ends."""
    with provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        content(answer.files[0])
        event()
