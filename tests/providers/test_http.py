import contextlib
import gc
import os
import shutil
import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from providers.connections import Certificates, Contexts
from providers.http import HttpOptions, HttpProvider
from refresher.contract import Fetched, Provider, Unchanged
from refresher.demo.caddy import Caddy
from refresher.demo.process import free_port
from refresher.errors import PermanentError, RejectedError, StartOverError, TransientError
from refresher.options import Secret
from refresher.testing import ProviderContract
from tests.fakes.raw_server import raw_server
from tests.fakes.web import Page, Request, WebServer, web_server
from tests.providers.dripping import dripping
from tests.providers.reading import content, fetched, holding, rest

SHORT = urllib3.Timeout(connect=1.0, read=0.3)
"""For a server of which nothing is expected but that it is given up."""
PATIENT = urllib3.Timeout(connect=5.0, read=3.0)
"""For one that gives something first: where the machine stalls, that takes longer than the other."""


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server
        gc.collect()


@pytest.fixture
def elsewhere() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    path = tmp_path / "secret"
    path.write_text("hunter2\n")
    return Secret(file=path)


def provider_of(url: str, **options: Any) -> HttpProvider:
    return HttpProvider(HttpOptions(url=url, **options))


def served(caddy: Caddy, text: str, *, directory: str = "", name: str = "file.txt") -> tuple[Path, str]:
    """A file of its own for each test, and its path in URLs."""
    folder = caddy.root / directory / uuid.uuid4().hex
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    return folder / name, "/" + str((folder / name).relative_to(caddy.root))


class TestOverHttp(ProviderContract):
    @pytest.fixture(autouse=True)
    def _source(self, caddy: Caddy) -> Iterator[None]:
        self.caddy, self.made = caddy, []
        self.path, self.url_path = served(caddy, "0123456789" * 50_000)
        yield
        for provider in self.made:
            provider.close()

    def at(self, path: str) -> HttpProvider:
        self.made.append(provider_of(self.caddy.url + path))
        return self.made[-1]

    def provider(self) -> Provider:
        return self.at(self.url_path)

    def change(self) -> None:
        self.path.write_text("something else")

    def missing_provider(self) -> Provider:
        return self.at("/missing/file.txt")

    def unreachable_provider(self) -> Provider:
        return provider_of(f"http://127.0.0.1:{free_port()}/file.txt")

    def silent_provider(self, host: str, port: int) -> Provider:
        self.made.append(HttpProvider(HttpOptions(url=f"http://{host}:{port}/file.txt"), timeout=SHORT))
        return self.made[-1]


class TestOverTls(TestOverHttp):
    def at(self, path: str) -> HttpProvider:
        self.made.append(provider_of(self.caddy.https_url + path, ca_file=self.caddy.ca_file))
        return self.made[-1]


def test_an_unchanged_file_moves_no_body(web: WebServer) -> None:
    web.respond = Page(b"x" * 10_000, etag='"a"')
    with closing(provider_of(web.url + "/file")) as provider:
        revision, _ = fetched(provider)
        web.body_bytes = 0
        with provider.fetch(holding(revision)) as answer:
            assert isinstance(answer, Unchanged)
    assert web.body_bytes == 0
    assert web.asked[-1].headers["if-none-match"] == '"a"'


def test_fetches_and_looks_share_one_connection(web: WebServer) -> None:
    web.respond = Page(b"x" * 10_000, etag='"a"')
    with closing(provider_of(web.url + "/file")) as provider:
        fetched(provider)
        for _ in range(3):
            with provider.fetch(holding('"a"')) as answer:
                assert isinstance(answer, Unchanged)
        fetched(provider)
    assert web.connections == 1


def test_a_first_read_costs_no_second_request(web: WebServer) -> None:
    web.respond = Page(b"x", etag='"a"')
    with closing(provider_of(web.url + "/file")) as provider:
        assert fetched(provider) == ('"a"', {"file": b"x"})
    assert len(web.asked) == 1


def test_without_an_etag_an_old_last_modified_is_the_revision(web: WebServer) -> None:
    modified = formatdate(time.time() - 60, usegmt=True)
    web.respond = Page(b"x" * 10_000, modified=modified)
    with closing(provider_of(web.url + "/file")) as provider:
        assert fetched(provider)[0] == modified
        with provider.fetch(holding(modified)) as answer:
            assert isinstance(answer, Unchanged)
    assert web.asked[-1].headers["if-modified-since"] == modified


def test_a_last_modified_of_this_second_is_no_revision(web: WebServer) -> None:
    web.respond = Page(b"x", modified=formatdate(time.time() + 60, usegmt=True))
    with closing(provider_of(web.url + "/file")) as provider:
        assert fetched(provider)[0] == ""


def test_without_any_revision_every_look_is_fetched(web: WebServer) -> None:
    web.respond = Page(b"x")
    with closing(provider_of(web.url + "/file")) as provider:
        assert fetched(provider) == ("", {"file": b"x"})
        assert fetched(provider, holding("")) == ("", {"file": b"x"})
    assert "if-none-match" not in web.asked[-1].headers


def test_a_server_that_ignores_conditions_is_still_unchanged(web: WebServer) -> None:
    web.respond = lambda request: request.reply(200, {"ETag": 'W/"a"'}, b"x")
    with closing(provider_of(web.url + "/file")) as provider, provider.fetch(holding('W/"a"')) as answer:
        assert isinstance(answer, Unchanged)


def test_a_broken_body_is_transient_and_goes_on_where_it_broke(web: WebServer) -> None:
    body = bytes(range(256)) * 40
    page = web.respond = Page(body, etag='"a"', cut=4000)
    with closing(provider_of(web.url + "/file")) as provider, provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        received = bytearray()
        with closing(answer.files[0].open()) as stream:
            while len(received) < 4000:
                buffer = bytearray(1000)
                received += buffer[: stream.readinto(memoryview(buffer))]
            with pytest.raises(TransientError, match="4000 of 10240"):
                stream.readinto(memoryview(bytearray(1000)))
        page.cut = None
        received += content(answer.files[0], len(received))
    assert received == body
    assert web.asked[-1].headers["range"] == "bytes=4000-10239"
    assert web.asked[-1].headers["if-range"] == '"a"'


@pytest.mark.parametrize("offset", [0, 3])
def test_a_file_that_changes_midway_is_transient(web: WebServer, offset: int) -> None:
    web.respond = Page(b"one two", etag='"a"')
    with closing(provider_of(web.url + "/file")) as provider, provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        content(answer.files[0])
        web.respond = Page(b"two one", etag='"b"')
        with pytest.raises(TransientError, match="changed"):
            answer.files[0].open(offset)


def test_a_weak_etag_is_a_revision_but_nothing_is_read_on_by_it(web: WebServer) -> None:
    web.respond = Page(b"one two", etag='W/"a"')
    with closing(provider_of(web.url + "/file")) as provider, provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        assert answer.revision == 'W/"a"'
        assert content(answer.files[0]) == content(answer.files[0]) == b"one two"
        with pytest.raises(StartOverError, match="strong ETag"):
            answer.files[0].open(1)


def test_a_server_that_ignores_ranges_is_never_read_as_the_rest(web: WebServer) -> None:
    web.respond = lambda request: request.reply(200, {"ETag": '"a"'}, b"one two")
    with closing(provider_of(web.url + "/file")) as provider, provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        with pytest.raises(StartOverError, match="can't be read on"):
            answer.files[0].open(3)


def chunked(request: Request, *, whole: bool) -> None:
    request.reply(200, {"ETag": '"a"', "Content-Length": "", "Transfer-Encoding": "chunked"})
    request.send(b"3\r\none\r\n" + (b"0\r\n\r\n" if whole else b""))
    request.close_connection = not whole


def test_a_chunked_body_is_read_to_its_end(web: WebServer) -> None:
    web.respond = lambda request: chunked(request, whole=True)
    with closing(provider_of(web.url + "/file")) as provider:
        assert fetched(provider) == ('"a"', {"file": b"one"})


def test_a_chunked_body_that_breaks_off_is_transient(web: WebServer) -> None:
    web.respond = lambda request: chunked(request, whole=False)
    with closing(provider_of(web.url + "/file")) as provider, pytest.raises(TransientError, match="broke off"):
        fetched(provider)


def test_a_body_whose_end_nobody_can_tell_is_rejected(web: WebServer) -> None:
    def until_closed(request: Request) -> None:
        request.reply(200, {"Content-Length": ""}, b"half or whole?")
        request.break_off()

    web.respond = until_closed
    with closing(provider_of(web.url + "/file")) as provider, pytest.raises(RejectedError, match="came whole"):
        fetched(provider)


def test_a_dripping_body_is_handed_on_as_it_comes_and_silence_is_transient(web: WebServer) -> None:
    def drip(request: Request) -> None:
        request.reply(200, {"ETag": '"a"', "Content-Length": "1000"}, b"x")
        request.connection.settimeout(30)
        request.rfile.read(1)

    web.respond = drip
    provider = HttpProvider(HttpOptions(url=web.url + "/file"), timeout=PATIENT)
    with closing(provider), provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        with closing(answer.files[0].open()) as stream:
            assert stream.readinto(memoryview(bytearray(1000))) == 1
            with pytest.raises(TransientError, match="1 of 1000"):
                stream.readinto(memoryview(bytearray(1000)))


def test_a_server_that_never_answers_is_transient(web: WebServer) -> None:
    web.respond = lambda request: (request.rfile.read(1), None)[1]
    provider = HttpProvider(HttpOptions(url=web.url + "/file"), timeout=SHORT)
    with closing(provider), pytest.raises(TransientError, match="in time"):
        fetched(provider)


def test_a_server_that_hangs_up_without_an_answer_is_transient() -> None:
    with raw_server(lambda _: None) as url, pytest.raises(TransientError, match="can't be reached"):
        fetched(provider_of(url + "/file"))


@pytest.mark.parametrize(
    "begin", [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 "], ids=repr
)
def test_headers_that_drip_for_ever_are_transient(begin: bytes) -> None:
    with raw_server(dripping(begin, b"x")) as url:
        provider = HttpProvider(HttpOptions(url=url + "/file"), timeout=SHORT)
        started = time.monotonic()
        with closing(provider), pytest.raises(TransientError, match="in time"):
            fetched(provider)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("end", [b"", b"3;x=", b"0\r\nX-Trailer: "], ids=["size", "extension", "trailer"])
def test_chunk_sizes_and_trailers_that_drip_for_ever_are_transient(end: bytes) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n'
    with raw_server(dripping(head + end, b"0")) as url:
        provider = HttpProvider(HttpOptions(url=url + "/file"), timeout=PATIENT)
        started = time.monotonic()
        with closing(provider), pytest.raises(TransientError, match="broke off after 3 bytes"):
            fetched(provider)
    assert time.monotonic() - started < 20


def test_a_dripping_body_has_as_long_as_it_needs() -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        connection.settimeout(0.4)
        for _ in range(10):
            with contextlib.suppress(TimeoutError):
                connection.recv(1)
            connection.sendall(b"x")

    with raw_server(answer) as url:
        provider = HttpProvider(HttpOptions(url=url + "/file"), timeout=PATIENT)
        with closing(provider):
            assert fetched(provider)[1] == {"file": b"x" * 10}


def test_sources_with_the_same_certificates_share_one_context(caddy: Caddy) -> None:
    contexts = Contexts()
    ours = Certificates(ca_file=caddy.ca_file)
    assert contexts.context(ours) is contexts.context(Certificates(ca_file=caddy.ca_file))
    assert contexts.context(Certificates()) is not contexts.context(ours)


def test_many_sources_of_one_process_cost_one_context(caddy: Caddy, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    create = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda **given: made.append(create(**given)) or made[-1])
    _, path = served(caddy, "x")
    shared = HttpProvider.Shared()
    for url, options in [(caddy.https_url + path, {"ca_file": caddy.ca_file}), (caddy.url + path, {})] * 5:
        with closing(HttpProvider(HttpOptions(url=url, **options), shared=shared)) as provider:
            assert fetched(provider)[1] == {"file.txt": b"x"}
    assert len(made) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 204, 206, 300, 304])
def test_a_lasting_refusal_is_permanent(web: WebServer, status: int) -> None:
    web.respond = lambda request: request.reply(status, {"Content-Length": ""} if status in (204, 304) else {})
    with closing(provider_of(web.url + "/file")) as provider, pytest.raises(PermanentError, match=str(status)):
        fetched(provider)


@pytest.mark.parametrize("status", [408, 416, 425, 429, 500, 502, 503, 504])
def test_a_passing_refusal_is_transient(web: WebServer, status: int) -> None:
    web.respond = lambda request: request.reply(status)
    with closing(provider_of(web.url + "/file")) as provider, pytest.raises(TransientError, match=str(status)) as error:
        fetched(provider)
    assert error.value.retry_after is None


@pytest.mark.parametrize(
    ("value", "wait"),
    [("120", 120), (formatdate(2_000_000_090, usegmt=True), 90), ("-5", None), ("9" * 5000, None), ("soon", None)],
)
def test_retry_after_is_seconds_or_a_date(web: WebServer, value: str, wait: int | None) -> None:
    headers = {"Retry-After": value, "Date": formatdate(2_000_000_000, usegmt=True)}
    web.respond = lambda request: request.reply(429, headers)
    with closing(provider_of(web.url + "/file")) as provider, pytest.raises(TransientError) as error:
        fetched(provider)
    assert error.value.retry_after == (None if wait is None else timedelta(seconds=wait))


def test_an_html_page_is_rejected_unless_it_was_asked_for(web: WebServer) -> None:
    web.respond = lambda request: request.reply(200, {"Content-Type": "text/html; charset=utf-8"}, b"<p>log in")
    with closing(provider_of(web.url + "/file.json")) as provider, pytest.raises(RejectedError, match="HTML page"):
        fetched(provider)
    with closing(provider_of(web.url + "/page.html")) as provider:
        assert fetched(provider)[1] == {"page.html": b"<p>log in"}


def test_a_content_encoding_that_nobody_asked_for_is_rejected(web: WebServer) -> None:
    web.respond = lambda request: request.reply(200, {"Content-Encoding": "gzip"}, b"\x1f\x8b")
    with closing(provider_of(web.url + "/file")) as provider, pytest.raises(RejectedError, match="gzip"):
        fetched(provider)
    assert web.asked[0].headers["accept-encoding"] == "identity"


def test_credentials_never_follow_a_redirect_to_another_port(
    web: WebServer, elsewhere: WebServer, secret: Secret
) -> None:
    web.respond = lambda request: request.reply(302, {"Location": elsewhere.url + "/final?sig=1"})
    elsewhere.respond = Page(b"x", etag='"a"')
    options = {"token": secret, "headers": {"X-Api-Key": secret, "X-Plain": "also ours"}}
    with closing(provider_of(web.url + "/file", **options)) as provider:
        assert fetched(provider, holding('"old"')) == ('"a"', {"file": b"x"})
    assert web.asked[0].headers["authorization"] == "Bearer hunter2"
    assert web.asked[0].headers["x-api-key"] == "hunter2"
    assert not {"authorization", "x-api-key", "x-plain"} & elsewhere.asked[0].headers.keys()
    assert elsewhere.asked[0].headers["if-none-match"] == '"old"'


def test_credentials_stay_behind_when_a_stranger_redirects_back(
    web: WebServer, elsewhere: WebServer, secret: Secret
) -> None:
    def away(request: Request) -> None:
        if request.path == "/file":
            request.reply(307, {"Location": elsewhere.url})
        else:
            request.reply(200, {}, b"x")

    web.respond = away
    elsewhere.respond = lambda request: request.reply(308, {"Location": web.url + "/chosen-by-a-stranger"})
    with closing(provider_of(web.url + "/file", token=secret)) as provider:
        fetched(provider)
    assert "authorization" in web.asked[0].headers
    assert "authorization" not in web.asked[1].headers


def test_credentials_follow_a_redirect_on_the_same_server(web: WebServer, secret: Secret) -> None:
    web.respond = lambda r: r.reply(302, {"Location": "/b"}) if r.path == "/a" else r.reply(200, {}, b"x")
    with closing(provider_of(web.url + "/a", token=secret)) as provider:
        assert fetched(provider)[1] == {"a": b"x"}
    assert web.asked[1].headers["authorization"] == "Bearer hunter2"


def test_endless_redirects_are_permanent(web: WebServer) -> None:
    web.respond = lambda request: request.reply(302, {"Location": request.path})
    with closing(provider_of(web.url + "/file")) as provider, pytest.raises(PermanentError, match="more than 5"):
        fetched(provider)
    assert len(web.asked) == 6


@pytest.mark.parametrize("location", ["", "ftp://a/b", "http://u:p@127.0.0.1/", "file:///etc/passwd", "http://[", "//"])
def test_redirects_to_no_plain_url_are_permanent(web: WebServer, location: str) -> None:
    web.respond = lambda request: request.reply(302, {"Location": location})
    with closing(provider_of(web.url + "/file")) as provider, pytest.raises(PermanentError, match="redirects"):
        fetched(provider)


def test_a_redirect_from_https_to_http_is_refused(caddy: Caddy, web: WebServer) -> None:
    provider = provider_of(f"{caddy.https_url}/redirect?to={web.url}/file", ca_file=caddy.ca_file, name="file")
    with closing(provider), pytest.raises(PermanentError, match="https to http"):
        fetched(provider)
    assert not web.asked


def in_capitals(url: str) -> str:
    """The same URL: a scheme may be written in any case (RFC 3986)."""
    scheme, rest = url.split(":", 1)
    return f"{scheme.upper()}:{rest}"


def test_a_scheme_in_capitals_is_the_same_scheme(caddy: Caddy, web: WebServer) -> None:
    _, path = served(caddy, "x")
    with closing(provider_of(in_capitals(caddy.https_url) + path, ca_file=caddy.ca_file)) as provider:
        assert fetched(provider)[1] == {"file.txt": b"x"}
    away = f"{in_capitals(caddy.https_url)}/redirect?to={web.url}/file"
    with (
        closing(provider_of(away, ca_file=caddy.ca_file, name="file")) as provider,
        pytest.raises(PermanentError, match="https to http"),
    ):
        fetched(provider)
    assert not web.asked


def test_messages_leave_out_the_query(web: WebServer) -> None:
    web.respond = lambda request: request.reply(403)
    provider = provider_of(web.url + "/file?X-Amz-Signature=hunter2")
    with closing(provider), pytest.raises(PermanentError) as refused:
        fetched(provider)
    assert "hunter2" not in str(refused.value)
    assert web.asked[0].path == "/file?X-Amz-Signature=hunter2"


def test_a_secret_that_can_be_no_header_is_refused_without_showing_it(web: WebServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\nInjected: yes")
    with pytest.raises(PermanentError, match="Authorization") as refused:
        fetched(provider_of(web.url + "/file", token=Secret(file=tmp_path / "token")))
    assert "hunter2" not in str(refused.value)
    assert not web.asked


def test_a_rotated_token_is_read_at_each_look(web: WebServer, secret: Secret) -> None:
    web.respond = Page(b"x", etag='"a"')
    with closing(provider_of(web.url + "/file", token=secret)) as provider:
        fetched(provider)
        assert secret.file
        secret.file.write_text("rotated")
        fetched(provider)
    assert [asked.headers["authorization"] for asked in web.asked] == ["Bearer hunter2", "Bearer rotated"]


def test_basic_and_bearer_log_in_at_a_real_server(caddy: Caddy, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(caddy.password)
    (tmp_path / "token").write_text(caddy.token)
    _, basic = served(caddy, "for readers", directory="basic")
    _, bearer = served(caddy, "for bearers", directory="bearer")
    login = {"username": caddy.username, "password": Secret(file=tmp_path / "password")}
    with closing(provider_of(caddy.url + basic, basic=login)) as provider:
        assert fetched(provider)[1] == {"file.txt": b"for readers"}
    with closing(provider_of(caddy.url + bearer, token=Secret(file=tmp_path / "token"))) as provider:
        assert fetched(provider)[1] == {"file.txt": b"for bearers"}
    for path in (basic, bearer):
        with closing(provider_of(caddy.url + path)) as provider, pytest.raises(PermanentError, match="401"):
            fetched(provider)


def test_a_certificate_that_cannot_be_verified_is_permanent_and_says_why(caddy: Caddy) -> None:
    provider = provider_of(caddy.https_url + "/file.txt")
    with closing(provider), pytest.raises(PermanentError, match=r"can't be verified: .*issuer"):
        fetched(provider)


def test_a_ca_file_that_changes_is_read_again(caddy: Caddy, tmp_path: Path) -> None:
    _, url_path = served(caddy, "x")
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text("not yet")
    with closing(provider_of(caddy.https_url + url_path, ca_file=ca_file)) as provider:
        with pytest.raises(PermanentError, match="certificate files"):
            fetched(provider)
        shutil.copy(caddy.ca_file, tmp_path / "new")
        (tmp_path / "new").replace(ca_file)
        assert fetched(provider)[1] == {"file.txt": b"x"}
        ca_file.unlink()
        with pytest.raises(PermanentError, match="certificate file "):
            fetched(provider)


def self_signed(path: Path) -> Path:
    """A certificate for 127.0.0.1 and its key in one file, usable at both ends."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]), datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.sign(key, SHA256()).public_bytes(Encoding.PEM) + pem)
    return path


def test_the_client_certificate_is_shown_at_home_and_to_no_other_server(tmp_path: Path) -> None:
    pem = self_signed(tmp_path / "both.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pem))
    context.load_cert_chain(pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    with web_server(context) as home, web_server(context) as stranger:
        home.respond = lambda request: request.reply(302, {"Location": stranger.url + "/elsewhere"})
        stranger.respond = Page(b"x", etag='"a"')
        with closing(provider_of(home.url + "/file", ca_file=pem, cert_file=pem)) as provider:
            assert fetched(provider)[1] == {"file": b"x"}
        assert home.asked[0].certificate
        assert not stranger.asked[0].certificate


def test_a_proxy_from_the_environment_is_used_but_not_for_loopback(
    web: WebServer, elsewhere: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("http_proxy", web.url)
    web.respond = elsewhere.respond = Page(b"x", etag='"a"')
    with closing(provider_of("http://files.example/file")) as provider:
        fetched(provider)
    assert web.asked[0].path == "http://files.example/file"
    with closing(provider_of(elsewhere.url + "/file")) as provider:
        fetched(provider)
    assert elsewhere.asked[0].path == "/file"


def test_a_file_can_be_renamed_and_its_name_is_decoded(web: WebServer) -> None:
    web.respond = Page(b"x", etag='"a"')
    with closing(provider_of(web.url + "/a%20b?c=d")) as provider:
        assert fetched(provider)[1] == {"a b": b"x"}
    with closing(provider_of(web.url + "/", name="c")) as provider:
        assert fetched(provider)[1] == {"c": b"x"}


def test_a_small_buffer_reads_the_same(web: WebServer) -> None:
    web.respond = Page(bytes(range(200)), etag='"a"')
    with closing(provider_of(web.url + "/file")) as provider, provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        with closing(answer.files[0].open()) as stream:
            assert rest(stream, chunk=7) == bytes(range(200))


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://a/b"},
        {"url": "https:///b"},
        {"url": "https://user:pa55word@a/b"},
        {"url": "https://a"},
        {"url": "https://a/b/"},
        {"url": "https://a/%2e%2e"},
        {"url": "https://a/b%2Fc"},
        {"url": "https://a/b c"},
        {"url": "https://a:port/b"},
        {"url": "https://a/b", "name": "../c"},
        {"url": "https://a/b", "headers": {"Range": "bytes=0-"}},
        {"url": "https://a/b", "headers": {"X Y": "z"}},
        {"url": "https://a/b", "headers": {"X": "y\r\nZ: 1"}},
        {"url": "https://a/b", "headers": {"authorization": "x"}, "token": {"env": "T"}},
        {"url": "https://a/b", "basic": {"username": "u", "password": {"env": "P"}}, "token": {"env": "T"}},
        {"url": "https://a/b", "key_file": "/k"},
        {"url": "https://a/b", "extra": "x"},
    ],
)
def test_options_that_make_no_sense_are_refused_without_showing_secrets(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        HttpOptions(**options)
    assert "pa55word" not in str(refused.value)


def test_urls_become_options() -> None:
    assert HttpProvider.from_url("https://a/b?c=d") == {"url": "https://a/b?c=d"}
    with pytest.raises(ValueError, match="user name"):
        HttpProvider.from_url("https://user:secret@a/b")


@pytest.mark.parametrize(
    ("host", "message"), [("127.0.0.1", "accepts no connection"), ("nowhere.invalid", "has no address")]
)
def test_a_host_that_is_not_there_is_told_from_one_that_is_slow(host: str, message: str) -> None:
    provider = HttpProvider(HttpOptions(url=f"http://{host}:{free_port()}/x"))
    with closing(provider), pytest.raises(TransientError, match=message), provider.fetch(None):
        pass
