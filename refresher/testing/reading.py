"""What a provider gives, read as the tests of the kit do."""

# ruff: noqa: S101 - a kit of tests asserts, and without pytest
from contextlib import closing

from refresher.contract import ByteStream, Fetched, Held, Lease, Provider, RemoteFile, Unchanged


def as_fetched(answer: Fetched | Unchanged) -> Fetched:
    """The answer, which has to be that."""
    assert isinstance(answer, Fetched), f"{answer!r} where Fetched is due"
    return answer


def hold(provider: Provider) -> Held:
    """What is held after a first fetch."""
    return hold_and_read(provider)[0]


def hold_and_read(provider: Provider) -> tuple[Held, dict[str, bytes]]:
    """The same, and all contents by name."""
    lease: Lease | None
    with provider.fetch(None) as answer:
        fetched = as_fetched(answer)
        contents, lease = contents_of(fetched), fetched.lease
    return Held(revision=fetched.revision, digests={}, lease=lease), contents


def contents_of(fetched: Fetched) -> dict[str, bytes]:
    """All contents by name."""
    return {file.name: read(file.open()) for file in fetched.files}


def longest(fetched: Fetched) -> RemoteFile:
    """The file that promises the most bytes."""
    return max(fetched.files, key=lambda file: file.size or 0)


def read(stream: ByteStream) -> bytes:
    """All of it; closed afterwards."""
    with closing(stream):
        return rest(stream)


def rest(stream: ByteStream) -> bytes:
    """All that is left of it."""
    return b"".join(iter(lambda: some(stream, 65536), b""))


def some(stream: ByteStream, count: int) -> bytes:
    """At most so many bytes, none at its end."""
    buffer = bytearray(count)
    return bytes(buffer[: stream.readinto(memoryview(buffer))])
