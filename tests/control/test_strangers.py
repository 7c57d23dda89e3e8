"""What somebody tries who isn't meant to ask: bytes on a socket, against a real listener."""

import re
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from refresher.options import Secret
from tests.control.client import Client, everything_until_closed, until_closed_or_reset
from tests.fakes.sidecar import FakeSidecar, outcome, state
from tests.waiting import until


def asked(client: Client, *lines: str) -> bytes:
    """The answers to a request that is the last on its connection."""
    with client.socket() as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
        return everything_until_closed(connection)


def status(client: Client, *lines: str) -> int:
    (only,) = statuses(asked(client, *lines))
    return only


def statuses(answers: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.1 ([0-9]{3})", answers)]


@pytest.fixture
def guarded(serve: Callable[..., Client], tmp_path: Path) -> Client:
    (tmp_path / "token").write_text("tok-9d1f\n")
    return serve(token=Secret(file=tmp_path / "token"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST", "localhost:8470", "localhost:", "127.0.0.1:1", "[::1]", "[::1]:8470",
    ],
)  # fmt: skip
def test_names_of_loopback_pass_however_they_are_written(client: Client, host: str) -> None:
    assert status(client, "GET /assets HTTP/1.1", f"Host: {host}") == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost.", "127.0.0.1.", "localhost.:8470", "user@localhost", "user:pass@localhost",
        "localhost:80@evil.example",
        "localhost:8470:8470", "localhost:+1", "localhost/", "localhost#", "localhost?", "localhost\\", "local host",
        "127.1", "2130706433", "0x7f.1", "127.0.0.2", "[::1", "::1", "[::1%lo]", "[::ffff:127.0.0.1]", "[localhost]",
        "[::1]evil.example", "evil.example#localhost", "1.127.0.0.1.nip.io", "xn--localhost-", "loc\u00e4lhost", "[::]",
    ],
)  # fmt: skip
def test_what_only_looks_like_loopback_is_refused(client: Client, sidecar: FakeSidecar, host: str) -> None:
    assert status(client, "POST /refresh/web-tls HTTP/1.1", f"Host: {host}") in (400, 403)
    assert sidecar.asked == 0


@pytest.mark.parametrize(
    "hosts", [("localhost", "evil.example"), ("evil.example", "localhost"), ("localhost", "localhost"), ()]
)
def test_a_request_has_one_host(client: Client, sidecar: FakeSidecar, hosts: tuple[str, ...]) -> None:
    assert status(client, "POST /refresh/web-tls HTTP/1.1", *(f"Host: {host}" for host in hosts)) in (400, 403)
    assert sidecar.asked == 0


@pytest.mark.parametrize(
    "target", ["http://evil.example/assets", "http://localhost/assets", "//evil.example/assets", "localhost:8470", "*"]
)
def test_a_target_that_names_a_server_leads_nowhere(client: Client, target: str) -> None:
    for method in ("GET", "POST", "CONNECT", "OPTIONS"):
        assert status(client, f"{method} {target} HTTP/1.1", "Host: localhost") == 404
        assert status(client, f"{method} {target} HTTP/1.1", "Host: evil.example") == 403


@pytest.mark.parametrize(
    "path",
    [
        "/rollback/web-tls", "/rollback%2Fweb-tls", "/%72ollback/web-tls", "//rollback/web-tls", "/./rollback/web-tls",
        "/livez/../rollback/web-tls", "/ROLLBACK/web-tls", "/rollback/web-tls/", "/rollback/web-tls%00",
        "/unpin/web-tls",
        "/rollback/web-tls;a=b", "/rollback\\web-tls", "/rollback/web-tls?a=/livez",
    ],
)  # fmt: skip
def test_no_spelling_of_a_path_leads_past_the_token(
    client: Client, guarded: Client, sidecar: FakeSidecar, path: str
) -> None:
    assert status(client, f"POST {path} HTTP/1.1", "Host: localhost") in (403, 404)
    assert status(guarded, f"POST {path} HTTP/1.1", "Host: localhost") == 401
    override = ("X-HTTP-Method-Override: POST", "X-Original-URL: /unpin/web-tls", "X-Rewrite-URL: /unpin/web-tls")
    assert status(guarded, f"GET {path} HTTP/1.1", "Host: localhost", *override) in (404, 405)
    assert sidecar.by_hand == []


@pytest.mark.parametrize(
    "headers",
    [
        ["Authorization: Bearer tok-9d1f", "Authorization: Bearer tok-9d1f"],
        ["Authorization: Bearer x", "Authorization: Bearer tok-9d1f"],
        ["Authorization: Bearer tok-9d1f, Bearer x"],
        ["Authorization: Bearertok-9d1f"],
        ["Authorization:"],
        ["Authorization: Bearer \xfc"],
        ["X-Authorization: Bearer tok-9d1f"],
        ["Cookie: token=tok-9d1f"],
    ],
)
def test_the_token_counts_once_and_in_its_one_place(guarded: Client, sidecar: FakeSidecar, headers: list[str]) -> None:
    assert status(guarded, "POST /refresh/web-tls HTTP/1.1", "Host: localhost", *headers) == 401
    assert status(guarded, "POST /refresh/web-tls?token=tok-9d1f HTTP/1.1", "Host: localhost") == 401
    assert sidecar.asked == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything", ""])
@pytest.mark.parametrize("dest", ["image", "script", "iframe", "empty", "object"])
def test_what_a_page_of_another_site_loads_is_refused(client: Client, site: str, dest: str) -> None:
    fetched = ("Host: localhost", f"Sec-Fetch-Site: {site}", "Sec-Fetch-Mode: no-cors", f"Sec-Fetch-Dest: {dest}")
    assert status(client, "GET /assets HTTP/1.1", *fetched) == 403


def test_a_link_that_somebody_follows_shows_and_a_form_that_a_page_sends_does_nothing(
    client: Client, sidecar: FakeSidecar
) -> None:
    link = ("Host: localhost", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
    assert status(client, "GET / HTTP/1.1", *link) == 200
    assert status(client, "POST /refresh/web-tls HTTP/1.1", *link) == 403
    assert sidecar.asked == 0


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_somebody_at_the_address_line_and_our_own_page_pass(client: Client, site: str) -> None:
    assert status(client, "GET /assets HTTP/1.1", "Host: localhost", f"Sec-Fetch-Site: {site}") == 200


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via", "True-Client-IP", "CF-Connecting-IP"]
)
def test_whatever_a_proxy_adds_gives_it_away(client: Client, sidecar: FakeSidecar, header: str) -> None:
    for value in ("127.0.0.1", ""):
        assert status(client, "POST /refresh/web-tls HTTP/1.1", "Host: localhost", f"{header}: {value}") == 403
    assert sidecar.asked == 0


SMUGGLED = "GET /assets HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 44", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: +5"],
        ["Content-Length: -5"],
        ["Content-Length: 0x5"],
        ["Content-Length: 5, 6"],
        ["Content-Length: 99999999999999999999999"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: \x0bchunked"],
    ],
)
def test_a_request_of_doubtful_length_is_the_last_on_its_connection(
    client: Client, sidecar: FakeSidecar, headers: list[str]
) -> None:
    with client.socket() as connection:
        head = "\r\n".join(["POST /refresh/web-tls HTTP/1.1", "Host: localhost", *headers, "", ""])
        connection.sendall(f"{head}0\r\n\r\n{SMUGGLED}".encode("latin-1"))
        answers = until_closed_or_reset(connection)
    assert statuses(answers) in ([400], [413])
    assert sidecar.asked == 0


def hung_up(connection: socket.socket, more: bytes) -> bool:
    """Whether nobody takes it any more."""
    try:
        connection.sendall(more)
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


@pytest.mark.parametrize(
    ("beginning", "endless"),
    [
        (b"Content-Length: 999999999\r\n\r\n", b"x" * 65536),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        (b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 10000),
        (b"", b"X-Header: value\r\n" * 4000),
    ],
)
def test_what_never_ends_is_cut_off(
    serve: Callable[..., Client], sidecar: FakeSidecar, beginning: bytes, endless: bytes
) -> None:
    client = serve(patience=timedelta(seconds=0.5))
    with client.socket() as connection:
        connection.sendall(b"POST /refresh/web-tls HTTP/1.1\r\nHost: localhost\r\n" + beginning)
        until(lambda: hung_up(connection, endless), every=0)
    assert client.get("/livez").status == 200
    assert sidecar.asked == 0


@pytest.mark.parametrize(
    "request_",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /assets HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade, close\r\n\r\n",
        b"GET /assets HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n",
        b"GET /assets HTTP/9.9\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET\x00/assets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /ass\xffets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /assets HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\nConnection: close\r\n\r\n",
    ],
)
def test_other_protocols_are_not_spoken_and_break_nothing(
    client: Client, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    with client.socket() as connection:
        connection.sendall(request_)
        assert set(statuses(until_closed_or_reset(connection))) <= {200, 400, 403}
    assert caplog.text == ""


def established(connection: socket.socket) -> bool:
    """Whether the other end of a loopback connection still has it, by the kernel's table (proc_net_tcp(5))."""
    here = f":{connection.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[2].endswith(here) and row[3] == "01" for row in rows)


@pytest.fixture
def slow_reader(serve: Callable[..., Client], sidecar: FakeSidecar) -> socket.socket:
    """Has asked for 100 MB, on a connection that takes in little."""
    files = {f"file-{number}": "sha256:" + "a" * 64 for number in range(10_000)}
    sidecar.states["web-tls"] = state("web-tls", files=files)
    client = serve(patience=timedelta(seconds=0.5))
    host, _, port = client.addresses[0].partition(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect((host, int(port)))
    connection.sendall(b"GET /assets/web-tls HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    return connection


def test_a_connection_that_is_not_cut_off_is_established(client: Client) -> None:
    with client.socket() as connection:
        assert established(connection)


def test_a_client_that_reads_nothing_is_cut_off(slow_reader: socket.socket) -> None:
    with slow_reader:
        until(lambda: not established(slow_reader))


def test_a_client_that_reads_a_little_now_and_then_is_cut_off(slow_reader: socket.socket) -> None:
    with slow_reader:
        until(lambda: slow_reader.recv(100) and not established(slow_reader))


def test_the_rest_of_an_answer_waits_no_longer_and_on_a_unix_socket_neither(
    serve: Callable[..., Client], sidecar: FakeSidecar, tmp_path: Path
) -> None:
    mine, other = socket.socketpair()
    with mine, other:
        mine.setblocking(False)
        more = mine.send(b"x" * 10_000_000) + 30_000  # than the kernel takes in, and little enough to be forgotten
    files = {f"{number:05}": "sha256:" + "a" * 64 for number in range(more // 82)}
    sidecar.states["web-tls"] = state("web-tls", files=files)
    serve(listen=f"unix:{tmp_path}/control.sock", patience=timedelta(seconds=0.5))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(f"{tmp_path}/control.sock")
        connection.sendall(b"GET /assets/web-tls HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: hung_up(connection, b"G"))


def test_many_requests_sent_at_once_are_answered_in_order(client: Client) -> None:
    asks = [f"GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n" for number in range(499)]
    asks[250:250] = ["GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"]
    with client.socket() as connection:
        connection.sendall("".join(asks)[:-2].encode() + b"Connection: close\r\n\r\n")
        assert statuses(everything_until_closed(connection)) == [404] * 250 + [200] + [404] * 249


def test_what_a_browser_asks_before_it_sends_is_allowed_to_nobody(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.ends["web-tls"] = outcome("web-tls")
    preflight = ("OPTIONS /refresh/web-tls HTTP/1.1", "Host: localhost:8470", "Access-Control-Request-Method: POST")
    for origin, expected in (("http://evil.example", 403), ("http://localhost:8470", 405)):
        answer = asked(client, *preflight, f"Origin: {origin}")
        assert statuses(answer) == [expected]
        assert b"access-control" not in answer.lower()
    assert b"access-control" not in asked(client, "GET /assets HTTP/1.1", "Host: localhost").lower()
