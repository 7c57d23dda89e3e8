"""Parts of one file, read side by side or after a break, from servers on good days and on bad ones."""

import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from providers.http import TIMEOUT, HttpOptions, HttpProvider
from providers.http_file import HttpFile
from refresher.abilities import Ranged, Versioned
from refresher.contract import Fetched
from refresher.demo.caddy import Caddy
from refresher.errors import RefresherError, RejectedError, StartOverError, TransientError
from refresher.options import Secret
from tests.fakes.raw_server import raw_server
from tests.fakes.web import Page, Request, WebServer, web_server
from tests.providers.reading import fetched, rest
from tests.providers.test_bodies import BODY, stored
from tests.providers.test_http import PATIENT

GIB = 1024**3
RANGES = {"Accept-Ranges": "bytes"}


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@contextmanager
def described(url: str, *, timeout: urllib3.Timeout = TIMEOUT, **options: Any) -> Iterator[HttpFile]:
    with closing(HttpProvider(HttpOptions(url=url, **options), timeout=timeout)) as provider, seen(provider) as file:
        yield file


@contextmanager
def seen(provider: HttpProvider) -> Iterator[HttpFile]:
    with provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        (file,) = answer.files
        assert isinstance(file, HttpFile)
        yield file


def part(file: HttpFile, offset: int, size: int) -> bytes:
    with closing(file.open_range(offset, size)) as stream:
        return rest(stream)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_parts_that_are_read_side_by_side_make_the_whole(caddy: Caddy, secure: bool) -> None:
    url = (caddy.https_url if secure else caddy.url) + stored(caddy, BODY)
    with described(url, ca_file=caddy.ca_file if secure else None) as file, ThreadPoolExecutor(4) as pool:
        assert isinstance(file, Ranged)
        assert file.ranged
        starts = range(0, len(BODY), 100_000)
        parts = pool.map(lambda start: part(file, start, min(100_000, len(BODY) - start)), starts)
        assert b"".join(parts) == BODY


def test_a_strong_etag_is_the_files_revision_and_nothing_else_is(web: WebServer) -> None:
    for headers, revision in [
        ({"ETag": '"a"'}, '"a"'),
        ({"ETag": 'W/"a"'}, ""),
        ({"ETag": "a"}, ""),
        ({"Last-Modified": "Sun, 22 Nov 2026 12:00:00 GMT", "Date": "Sun, 22 Nov 2026 13:00:00 GMT"}, ""),
    ]:
        web.respond = Page(b"x", headers=headers)
        with described(web.url + "/file") as file:
            assert isinstance(file, Versioned)
            assert file.revision == revision


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"a"'},
        {"ETag": '"a"', "Accept-Ranges": "none"},
        {"ETag": 'W/"a"', **RANGES},
        {"Last-Modified": "Sun, 22 Nov 2026 12:00:00 GMT", "Date": "Sun, 22 Nov 2026 13:00:00 GMT", **RANGES},
        {"ETag": '"a"', "Content-Length": "", "Transfer-Encoding": "chunked", **RANGES},
    ],
    ids=["silent", "none", "weak", "date", "chunked"],
)
def test_a_file_without_strong_etag_length_or_accepted_ranges_is_read_in_one(
    web: WebServer, headers: dict[str, str]
) -> None:
    body = b"1\r\nx\r\n0\r\n\r\n" if "Transfer-Encoding" in headers else b"x"
    web.respond = lambda request: request.reply(200, headers, body)
    with described(web.url + "/file") as file:
        assert not file.ranged
        with closing(file.open()) as stream:
            assert rest(stream) == b"x"


def test_the_first_part_is_the_first_answers_and_the_others_are_pinned_to_it(web: WebServer) -> None:
    web.respond = Page(BODY, etag='"a"', headers=RANGES)
    with described(web.url + "/file") as file:
        assert part(file, 0, 1000) == BODY[:1000]
        assert part(file, 1000, 1000) == BODY[1000:2000]
    assert [(asked.headers.get("range"), asked.headers.get("if-range")) for asked in web.asked] == [
        (None, None),
        ("bytes=1000-1999", '"a"'),
    ]


def test_an_etag_that_changes_between_two_parts_is_transient(web: WebServer) -> None:
    web.respond = Page(BODY, etag='"a"', headers=RANGES)
    with described(web.url + "/file") as file:
        assert part(file, 100, 10)
        web.respond = Page(BODY, etag='"b"', headers=RANGES)
        with pytest.raises(StartOverError, match="changed"):
            file.open_range(110, 10)
        # Perhaps it's another server behind the same name: one connection may still get the whole.
        assert not file.ranged


def test_a_part_of_a_file_with_another_digest_is_transient(web: WebServer) -> None:
    digest = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    web.respond = Page(BODY, etag='"a"', headers={"Repr-Digest": digest, **RANGES})
    with described(web.url + "/file") as file:
        assert part(file, 100, 10) == BODY[100:110]
        web.respond = Page(BODY, etag='"a"', headers={"Repr-Digest": digest.replace("X48", "Y48"), **RANGES})
        with pytest.raises(StartOverError, match="changed"):
            file.open_range(110, 10)
        # Perhaps it's another server behind the same name: one connection may still get the whole.
        assert not file.ranged


def whole_for_everything(request: Request) -> None:
    request.reply(200, {"ETag": '"a"', **RANGES}, BODY)


def test_a_server_that_ignores_ranges_is_read_in_one_from_then_on(web: WebServer) -> None:
    web.respond = whole_for_everything
    with closing(HttpProvider(HttpOptions(url=web.url + "/file"))) as provider:
        with seen(provider) as file:
            assert file.ranged
            with pytest.raises(TransientError, match="something else"):
                file.open_range(100, 10)
            assert not file.ranged
        with seen(provider) as file:
            assert not file.ranged


PART = {"ETag": '"a"', "Content-Range": "bytes 100-109/1004251"}


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({**PART, "Content-Range": "bytes 101-110/1004251"}, TransientError),
        ({**PART, "Content-Range": "bytes 100-108/1004251"}, TransientError),
        ({**PART, "Content-Range": "bytes 100-110/1004251"}, TransientError),
        ({**PART, "Content-Range": "bytes 100-109/1004252"}, TransientError),
        ({**PART, "Content-Range": "bytes 109-100/1004251"}, TransientError),
        ({**PART, "Content-Range": "lines 100-109/1004251"}, TransientError),
        ({**PART, "Content-Range": "bytes 100-" + "9" * 5000 + "/*"}, TransientError),
        ({**PART, "Content-Range": ""}, TransientError),
        ({**PART, "Content-Length": "9"}, TransientError),
        ({**PART, "Content-Length": "11"}, TransientError),
        ({**PART, "Content-Type": 'multipart/byteranges; boundary="x"'}, TransientError),
        ({**PART, "ETag": 'W/"a"'}, TransientError),
        ({**PART, "ETag": ""}, TransientError),
        ({**PART, "Content-Type": "text/html"}, RejectedError),
        ({**PART, "Content-Encoding": "gzip"}, RejectedError),
        ({**PART, "Content-Length": ""}, RejectedError),
    ],
)
def test_an_answer_that_is_not_the_part_asked_for_is_never_read(
    web: WebServer, headers: dict[str, str], error: type[RefresherError]
) -> None:
    def answer(request: Request) -> None:
        if "Range" in request.headers:
            request.reply(206, headers, BODY[100:110])
        else:
            whole_for_everything(request)

    web.respond = answer
    with described(web.url + "/file") as file, pytest.raises(error):
        file.open_range(100, 10)


Answer = Callable[[socket.socket], None]


def part_of_ten(content: bytes, head: str, end: Answer) -> Answer:
    """An answer to a request for ten bytes, whatever comes of it."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(
            f'HTTP/1.1 206 So\r\nETag: "a"\r\nContent-Range: bytes 100-109/*\r\n{head}\r\n'.encode() + content
        )
        end(connection)

    return answer


def repeated(answer: Answer) -> Answer:
    """The same answer to every request of the connection."""

    def all_of_them(connection: socket.socket) -> None:
        answer(connection)
        while connection.recv(65536):
            answer(connection)

    return all_of_them


@contextmanager
def read_from(answer: Answer) -> Iterator[HttpFile]:
    """A file described by an answer, whose parts come from that raw server by a redirect."""
    with web_server() as web, raw_server(answer) as url:

        def respond(request: Request) -> None:
            if "Range" in request.headers:
                request.reply(307, {"Location": url + "/file"})
            else:
                whole_for_everything(request)

        web.respond = respond
        with described(web.url + "/file", timeout=PATIENT) as file:
            yield file


def closes(_: socket.socket) -> None:
    pass


def waits(connection: socket.socket) -> None:
    connection.recv(1)


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


LENGTH = "Content-Length: 10\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("content", "head", "end"),
    [
        (b"four", LENGTH, closes),
        (b"four", LENGTH, resets),
        (b"four", LENGTH, waits),
        (b"4\r\nfour\r\n0\r\n\r\n", CHUNKED, waits),
        (b"4\r\nfour\r\nno size\r\n", CHUNKED, waits),
        (b"4\r\nfour\r\n4\r\nno", CHUNKED, closes),
        (b"4\r\nfour\r\n4\r\nno", CHUNKED, resets),
        (b"4\r\nfour\r\n4\r\nno", CHUNKED, waits),
    ],
)
def test_a_part_that_ends_before_its_time_is_transient(content: bytes, head: str, end: Answer) -> None:
    with read_from(part_of_ten(content, head, end)) as file, pytest.raises(TransientError, match="broke off after"):
        part(file, 100, 10)


@pytest.mark.parametrize(
    ("content", "head"),
    [
        (b"0123456789 and more", LENGTH),
        (b"14\r\n0123456789 and more.\r\n0\r\n\r\n", CHUNKED),
        (b"a\r\n0123456789\r\n0\r\nRepr-Digest: x\r\nX: y\r\n\r\n", CHUNKED),
    ],
    ids=["length", "chunks", "trailers"],
)
def test_no_more_than_the_part_is_read(content: bytes, head: str) -> None:
    with read_from(repeated(part_of_ten(content, head, closes))) as file:
        for _ in range(3):
            assert part(file, 100, 10) == b"0123456789"


def test_more_than_was_promised_is_not_taken_for_the_next_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    answer = repeated(lambda connection: connection.sendall(head + b"one" + head + b"two"))
    with raw_server(answer) as url, closing(HttpProvider(HttpOptions(url=url + "/file"))) as provider:
        for _ in range(3):
            assert fetched(provider)[1] == {"file": b"one"}


def test_parts_may_come_from_elsewhere_without_our_login_as_long_as_it_is_the_same_file(
    web: WebServer, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("hunter2")
    with web_server() as elsewhere:
        web.respond = Page(BODY, etag='"a"', headers=RANGES)
        elsewhere.respond = Page(BODY, etag='"a"', headers=RANGES)
        with described(web.url + "/file", token=Secret(file=tmp_path / "token")) as file:
            web.respond = lambda request: request.reply(302, {"Location": elsewhere.url + "/copy"})
            assert part(file, 100, 10) == BODY[100:110]
            elsewhere.respond = Page(BODY, etag='"b"', headers=RANGES)
            with pytest.raises(TransientError, match="changed"):
                file.open_range(110, 10)
    assert elsewhere.asked[0].headers["if-range"] == '"a"'
    assert all("authorization" in asked.headers for asked in web.asked)
    assert not any("authorization" in asked.headers for asked in elsewhere.asked)


def test_a_promise_of_gigabytes_is_told_before_anything_is_read() -> None:
    head = f'HTTP/1.1 200 OK\r\nETag: "a"\r\nAccept-Ranges: bytes\r\nContent-Length: {5 * GIB}\r\n\r\n'.encode()

    def answer(connection: socket.socket) -> None:
        connection.sendall(head + b"begin")
        connection.recv(1)

    with raw_server(answer) as url, described(url + "/file", timeout=PATIENT) as file:
        assert (file.size, file.ranged) == (5 * GIB, True)
        with closing(file.open()) as stream, pytest.raises(TransientError, match=f"after 5 of {5 * GIB} bytes"):
            rest(stream)


def test_parts_beyond_four_gigabytes_are_asked_for_as_they_are(web: WebServer) -> None:
    def sparse(request: Request) -> None:
        if "Range" in request.headers:
            request.reply(206, {"ETag": '"a"', "Content-Range": f"bytes {5 * GIB - 3}-{5 * GIB - 1}/{5 * GIB}"}, b"end")
        else:
            request.reply(200, {"ETag": '"a"', "Content-Length": str(5 * GIB), **RANGES})
            request.break_off()

    web.respond = sparse
    with described(web.url + "/file") as file:
        assert part(file, 5 * GIB - 3, 3) == b"end"
    assert web.asked[-1].headers["range"] == f"bytes={5 * GIB - 3}-{5 * GIB - 1}"
