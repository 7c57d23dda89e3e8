"""Bodies of HTTP answers: straight from the socket to the reader's buffer, as they come, and counted."""

import socket
import threading
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import urllib3

from providers.deadline import BUFFER
from providers.http import HttpOptions, HttpProvider
from providers.streams import BodyStream
from refresher.contract import ByteStream, Fetched
from refresher.demo.caddy import Caddy
from refresher.errors import TransientError
from tests.fakes.raw_server import raw_server
from tests.providers.reading import rest

MIB = 1024 * 1024
BODY = bytes(range(251)) * 4001
"""A megabyte that no shift of a whole buffer makes the same."""


@contextmanager
def opened(url: str, **options: Any) -> Iterator[ByteStream]:
    with closing(HttpProvider(HttpOptions(url=url, **options))) as provider, provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        with closing(answer.files[0].open()) as stream:
            yield stream


def stored(caddy: Caddy, content: bytes) -> str:
    """The path in URLs of a new file."""
    path = caddy.root / f"{uuid.uuid4().hex}.bin"
    path.write_bytes(content)
    return f"/{path.name}"


def sending(*parts: bytes) -> Callable[[socket.socket], None]:
    """An answer of these parts; then silence until the client has had enough."""

    def answer(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
        connection.recv(1)

    return answer


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_bytes_go_from_the_socket_to_the_buffer_without_a_copy(caddy: Caddy, secure: bool) -> None:
    path = stored(caddy, BODY * 16)
    buffer = memoryview(bytearray(4 * MIB))
    with opened((caddy.https_url if secure else caddy.url) + path, ca_file=caddy.ca_file if secure else None) as stream:
        stream.readinto(buffer)
        tracemalloc.start()
        try:
            received = sum(iter(lambda: stream.readinto(buffer), 0))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert received > 8 * MIB
    assert peak < 64 * 1024


@pytest.mark.parametrize("size", [7, BUFFER - 1, BUFFER, BUFFER + 1, 4 * MIB])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_buffer_of_any_size_reads_the_same(caddy: Caddy, size: int, secure: bool) -> None:
    path = stored(caddy, BODY)
    with opened((caddy.https_url if secure else caddy.url) + path, ca_file=caddy.ca_file if secure else None) as stream:
        assert rest(stream, chunk=size) == BODY


@pytest.mark.parametrize("size", [7, BUFFER - 1, BUFFER, BUFFER + 1, 4 * MIB])
@pytest.mark.parametrize("chunk", [1, 100, BUFFER - 1, BUFFER, BUFFER + 1, 70_000])
def test_chunks_of_any_size_read_the_same(chunk: int, size: int) -> None:
    body = BODY[: chunk * 300]
    parts = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    wire = b"".join(b"%x;note\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Trailer: x\r\n\r\n"
    with (
        raw_server(sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", wire)) as url,
        opened(url + "/file") as stream,
    ):
        assert rest(stream, chunk=size) == body


@pytest.mark.parametrize(
    ("head", "first"),
    [(b"Content-Length: 5000000", b""), (b"Transfer-Encoding: chunked", b"4c4b40\r\n")],
    ids=["length", "chunked"],
)
def test_what_came_with_the_headers_is_handed_on_before_the_next_byte_comes(head: bytes, first: bytes) -> None:
    enough = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + first + b"one")
        enough.wait(30)

    buffer = memoryview(bytearray(4 * MIB))
    with raw_server(answer) as url, opened(url + "/file") as stream:
        assert bytes(buffer[: stream.readinto(buffer)]) == b"one"
        enough.set()
        with pytest.raises(TransientError, match="broke off after 3"):
            stream.readinto(buffer)


def test_after_the_end_of_the_chunks_there_is_nothing_more() -> None:
    answer = sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n")
    with raw_server(answer) as url, opened(url + "/file") as stream:
        assert [rest(stream), rest(stream)] == [b"one", b""]


def test_the_body_of_a_response_that_knows_no_buffers_is_copied(caddy: Caddy) -> None:
    with urllib3.PoolManager() as pool:
        response = pool.request("GET", caddy.url + stored(caddy, BODY), preload_content=False)
        with closing(BodyStream(response, length=len(BODY), name="file")) as stream:
            assert rest(stream, chunk=MIB) == BODY
