import gzip
import json
import socket
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from providers.vault.connection import parse_retry_after
from refresher.demo.openbao import OpenBao
from refresher.demo.process import free_port
from refresher.errors import PermanentError, RefresherError, TransientError
from tests.fakes.raw_server import raw_server
from tests.fakes.serving import Asked, Reply, serving
from tests.providers.vault_sources import Source, Sources, contents, unique
from tests.waiting import until

DATA = {"common_name": "web"}


@pytest.fixture
def source(tmp_path: Path) -> Sources:
    """Sources of servers that are none; a write, so that there is one request after the token's look-up."""
    nobody = OpenBao(tmp_path, port=1, tls_port=1)
    nobody.token = "geheim-genug"
    return lambda **options: Source(nobody, tmp_path, **({"path": "pki/issue/web", "data": DATA} | options))


def answering(reply: Reply) -> Callable[[Asked], Reply]:
    """Knows the token, and answers everything else with `reply`."""
    known = Reply(200, json.dumps({"data": {"ttl": 0}}).encode())
    return lambda asked: known if asked.path.endswith("lookup-self") else reply


@pytest.mark.parametrize("status", [400, 404, 405, 409, 422])
def test_what_the_server_refuses_is_permanent(source: Sources, status: int) -> None:
    said = rf"POST pki/issue/web at 127.*{status}: because of that"
    reply = Reply(status, b'{"errors": ["because of\\n that"]}')
    with serving(answering(reply)) as address, pytest.raises(PermanentError, match=said):
        source(address=address).look()


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (None, None),
        ("soon", None),
        ("-3", None),
        ("0", timedelta(0)),
        ("120", timedelta(minutes=2)),
        ("9" * 400, None),
        ("99999999", timedelta(days=1)),
        ("Thu, 01 Jan 2026 00:01:00 GMT", timedelta(minutes=1)),
        ("Wed, 31 Dec 2025 00:00:00 GMT", timedelta(0)),
        ("Thu, 01 Jan 2026 00:01:00", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, wait: timedelta | None) -> None:
    assert parse_retry_after(value, NOW) == wait


@pytest.mark.parametrize("location", ["", "http://[bad", "//user:pw@", "http://" + "h" * 5000])
def test_a_redirect_to_nonsense_is_transient_too(source: Sources, location: str) -> None:
    reply = Reply(307, headers={"Location": location})
    with serving(answering(reply)) as address, pytest.raises(TransientError, match="redirected to") as caught:
        source(address=address).look()
    assert len(str(caught.value)) < 500
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("seconds", [10**30, 10**18, -5, "soon", 1.5, None])
def test_lives_that_can_not_be_are_lived_with(source: Sources, seconds: object) -> None:
    body = {"data": {"ttl": seconds, "renewable": True}, "lease_id": "x", "lease_duration": seconds}
    with serving(lambda _: Reply(200, json.dumps(body).encode())) as address:
        found = source(address=address, path="a/b").fetched()
    assert (found.lease is not None) == (isinstance(seconds, int) and seconds > 0)


def test_a_connection_is_kept_for_the_next_request(source: Sources) -> None:
    connections = []

    def counted(connection: socket.socket) -> None:
        connections.append(connection)
        body = b'{"data": {"user": "ann"}}'
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        connection.sendall(reply)
        while connection.recv(65536):
            connection.sendall(reply)

    with raw_server(counted) as address:
        app = source(address=address, path="a/b", data=None)
        assert [len(app.fetched().files) for _ in range(5)] == [1] * 5
    assert len(connections) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": ', b"\xff", b"[" * 200_000, b'"x"', b"9" * 5000])
def test_an_answer_that_is_no_json_object_is_transient(source: Sources, body: bytes) -> None:
    with serving(answering(Reply(200, body))) as address, pytest.raises(TransientError, match="not a JSON object"):
        source(address=address).look()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": []},
        {"data": {"certificate": 1}},
        {"data": {"certificate": "x", "issuing_ca": None, "serial_number": []}},
        {"data": {"certificate": "-----BEGIN CERTIFICATE-----\nx", "issuing_ca": "-----BEGIN CERTIFICATE-----\nx"}},
        {"data": {"certificate": "-----BEGIN CERTIFICATE-----\nx", "ca_chain": {"a": 1}}},
    ],
)
def test_an_answer_of_another_shape_is_permanent(source: Sources, body: object) -> None:
    with serving(answering(Reply(200, json.dumps(body).encode()))) as address, pytest.raises(PermanentError):
        source(address=address).look()


def test_text_that_is_no_unicode_is_permanent(source: Sources) -> None:
    body = b'{"data": {"user": "geheim\\ud800"}}'
    with serving(answering(Reply(200, body))) as address, pytest.raises(PermanentError, match="Unicode") as caught:
        source(address=address, path="a/b").look()
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": {"\\ud800": "x"}}',
        b'{"data": {"user": "x"}, "lease_id": "a/b/\\ud800", "lease_duration": 60, "renewable": true}',
        b'{"data": {"data": {"user": "x"}, "metadata": {"version": "\\ud800", "created_time": "now"}}}',
    ],
)
def test_no_half_of_a_character_gets_in_wherever_it_stands(source: Sources, body: bytes) -> None:
    with serving(answering(Reply(200, body))) as address, pytest.raises(PermanentError, match="not valid Unicode"):
        source(address=address, path="a/b").look()


def test_what_a_server_complains_of_can_be_written_anywhere(source: Sources) -> None:
    with (
        serving(answering(Reply(400, b'{"errors": ["no \\ud800"]}'))) as address,
        pytest.raises(PermanentError) as said,
    ):
        source(address=address).look()
    assert str(said.value).encode().endswith(b": no ?")


def test_errors_are_short_and_repeat_no_token(source: Sources) -> None:
    errors = json.dumps({"errors": ["the token geheim-genug is bad " + "x" * 1000, {"nested": "geheim-genug"}]})
    with serving(answering(Reply(400, errors.encode()))) as address, pytest.raises(PermanentError) as caught:
        source(address=address).look()
    assert "the token … is bad" in str(caught.value)
    assert "geheim" not in "".join(traceback.format_exception(caught.value))
    assert len(str(caught.value)) < 400


def test_a_server_that_is_not_there_is_transient(source: Sources) -> None:
    with pytest.raises(TransientError, match="refused"):
        source(address=f"http://127.0.0.1:{free_port()}").look()
    with pytest.raises(TransientError, match=r"vault\.invalid"):
        source(address="http://vault.invalid:8200").look()


def test_a_namespace_that_no_header_can_hold_is_permanent(source: Sources) -> None:
    with pytest.raises(PermanentError, match="what HTTP doesn't allow"):
        source(address=f"http://127.0.0.1:{free_port()}", namespace="a\nX-Evil: b").look()


def test_compressed_answers_are_not_unpacked(source: Sources) -> None:
    reply = Reply(200, gzip.compress(b'{"data": {}}'), {"Content-Encoding": "gzip"})
    with serving(answering(reply)) as address, pytest.raises(TransientError, match="not a JSON object"):
        source(address=address).look()


def test_requests_carry_vault_s_headers_and_no_proxy_sees_them(
    source: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    asked: list[Asked] = []

    def answer(each: Asked) -> Reply:
        asked.append(each)
        return Reply(200, b'{"data": {"user": "ann"}}')

    with serving(answer) as address:
        source(address=f"{address}/behind/", namespace="team/a", path="some/where else").look()
    assert asked[-1].path == "/behind/v1/some/where%20else"
    headers = {name.lower(): value for name, value in asked[-1].headers.items()}
    assert headers["x-vault-token"] == "geheim-genug"
    assert headers["x-vault-namespace"] == "team/a"
    assert headers["x-vault-request"] == "true"
    assert json.loads(asked[-1].body) == DATA


def test_an_answer_longer_than_read_leaves_no_connection_open(source: Sources) -> None:
    ended = threading.Event()

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                connection.sendall(b"x" * 1024 * 1024)
        except OSError:
            ended.set()

    with raw_server(endless) as address, pytest.raises(PermanentError, match="more than"):
        source(address=address).look()
    until(ended.is_set)


@pytest.fixture
def secret(bao: OpenBao) -> str:
    mount = unique("kv")
    bao.kv(mount, 2)
    bao.write(f"{mount}/data/app", {"data": {"user": "ann"}})
    return f"{mount}/app"


def test_tls_by_a_named_authority(bao: OpenBao, tmp_path: Path, secret: str) -> None:
    app = Source(bao, tmp_path, path=secret, address=bao.tls_address, ca_file=bao.ca_file)
    assert contents(app.fetched()) == {"user": b"ann"}


def test_a_server_of_another_authority_is_permanent(bao: OpenBao, tmp_path: Path, secret: str) -> None:
    mount = unique("pki")
    (tmp_path / "other.pem").write_text(bao.pki(mount, "web"))
    for options in ({"ca_file": tmp_path / "other.pem"}, {}):
        with pytest.raises(PermanentError, match="certificate is not trusted"):
            Source(bao, tmp_path, path=secret, address=bao.tls_address, **options).look()


@pytest.mark.parametrize("option", ["ca_file", "cert_file"])
@pytest.mark.parametrize("content", [None, "", "nonsense"])
def test_a_certificate_file_that_can_not_be_used_is_permanent(
    bao: OpenBao, tmp_path: Path, secret: str, option: str, content: str | None
) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    options = {"ca_file": bao.ca_file} | {option: file}
    with pytest.raises(PermanentError, match="certificate file"):
        Source(bao, tmp_path, path=secret, address=bao.tls_address, **options).look()


def test_tls_to_a_plain_port_and_plain_to_a_tls_port_fail(bao: OpenBao, tmp_path: Path, secret: str) -> None:
    for address in (bao.address.replace("http", "https"), bao.tls_address.replace("https", "http")):
        with pytest.raises(RefresherError):
            Source(bao, tmp_path, path=secret, address=address).look()
