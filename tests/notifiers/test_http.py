import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

from refresher.demo.process import free_port
from refresher.errors import PermanentError, RejectedError, TransientError
from refresher.notifiers.http import HttpNotifier, HttpOptions
from tests.certificates import Authority, Issued
from tests.fakes.app import App
from tests.fakes.changes import change
from tests.fakes.raw_server import raw_server
from tests.waiting import in_time

NOW = datetime.now(UTC)
DOCUMENT = {
    "asset": "web-tls",
    "generation": 7,
    "cause": "published",
    "revision": "3a:91",
    "digest": "sha256:aa",
    "path": "/shared/tls",
    "files": {"tls.crt": "sha256:bb"},
    "published_at": "2026-11-22T09:00:00Z",
    "expires_at": "2026-11-23T09:00:00Z",
}


@pytest.fixture
def app() -> Iterator[App]:
    with App().running() as running:
        yield running


def notifier(url: str, **options: object) -> HttpNotifier:
    return HttpNotifier(HttpOptions.model_validate({"url": url, **options}))


def server_context(directory: Path, issued: Issued) -> ssl.SSLContext:
    path = directory / "server.pem"
    path.write_bytes(issued.pem + issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def authority() -> Authority:
    return Authority.root(since=NOW - timedelta(hours=1), until=NOW + timedelta(hours=1))


def leaf(issuer: Authority, *names: str) -> Issued:
    return issuer.issue(*names, since=NOW - timedelta(hours=1), until=NOW + timedelta(hours=1))


@pytest.fixture
def raw() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Servers that speak badly: each is a function of its first connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threads = []

        def serve(talk: Callable[[socket.socket], None]) -> int:
            def run() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(10)
                    talk(connection)

            threads.append(threading.Thread(target=run))
            threads[-1].start()
            return int(listener.getsockname()[1])

        yield serve
        for thread in threads:
            thread.join()


def test_the_app_gets_the_change_as_json(app: App) -> None:
    notifier(f"{app.url}/-/reload?now=1").notify(change())
    (heard,) = app.heard
    assert (heard.method, heard.path) == ("POST", "/-/reload?now=1")
    assert heard.headers["Content-Type"] == "application/json"
    assert json.loads(heard.body) == DOCUMENT


def test_moments_are_written_in_utc_and_to_the_second() -> None:
    berlin = timezone(timedelta(hours=1))
    told = change(published_at=datetime(2026, 11, 22, 10, 0, 0, 999999, berlin), expires_at=None).document()
    assert (told["published_at"], told["expires_at"]) == ("2026-11-22T09:00:00Z", None)


def test_method_body_and_headers_can_be_chosen(app: App, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer s3cret\n")
    headers = {"Authorization": {"file": str(tmp_path / "token")}, "X-Why": "rotation"}
    notifier(app.url, method="PUT", body="none", headers=headers).notify(change())
    (heard,) = app.heard
    assert (heard.method, heard.body, heard.headers["Content-Length"]) == ("PUT", b"", "0")
    assert (heard.headers["Authorization"], heard.headers["X-Why"]) == ("Bearer s3cret", "rotation")


@pytest.mark.parametrize(("expect", "status"), [(["2xx"], 204), ([202], 202), (["3xx", 409], 409)])
def test_an_expected_status_is_heard(app: App, expect: list[object], status: int) -> None:
    app.answering(status)
    notifier(app.url, expect=expect).notify(change())
    assert len(app.heard) == 1


@pytest.mark.parametrize("status", [409, 422])
def test_an_app_that_answers_so_refuses_the_generation(app: App, status: int) -> None:
    app.answering(status, b"bad\r\n\x1b[31m  key")
    with pytest.raises(RejectedError) as refused:
        notifier(f"{app.url}/-/reload?token=s3cret").notify(change())
    assert str(refused.value) == f"POST {app.url}/-/reload answers {status}: bad [31m key"


def test_which_statuses_refuse_can_be_chosen(app: App) -> None:
    app.answering(400)
    with pytest.raises(RejectedError):
        notifier(app.url, rejected_on=["4xx"]).notify(change())
    app.answering(409)
    with pytest.raises(TransientError):
        notifier(app.url, rejected_on=[]).notify(change())


@pytest.mark.parametrize("status", [302, 404, 500])
def test_any_other_status_is_told_again(app: App, status: int) -> None:
    app.answering(status, Location=f"{app.url}/elsewhere")
    with pytest.raises(TransientError, match=f"answers {status}$"):
        notifier(app.url).notify(change())
    assert [heard.path for heard in app.heard] == ["/"], "a redirect isn't followed"


@pytest.mark.parametrize(("said", "wait"), [("17", timedelta(seconds=17)), ("soon", None), ("9" * 99, None)])
def test_an_app_may_say_when_to_come_back(app: App, said: str, wait: timedelta | None) -> None:
    app.answering(503, Retry_After=said)
    with pytest.raises(TransientError) as failed:
        notifier(app.url).notify(change())
    assert failed.value.retry_after == wait


def test_only_the_start_of_an_answer_is_shown(app: App) -> None:
    app.answering(500, b"x" * 100_000)
    with pytest.raises(TransientError) as failed:
        notifier(app.url).notify(change())
    assert str(failed.value).count("x") == 4096


def test_a_secret_that_the_app_sends_back_is_not_shown(app: App, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer s3cret")
    app.answers = lambda heard: (401, {}, b"no right: " + heard.headers["Authorization"].encode() + b" or s3cret alone")
    with pytest.raises(TransientError, match="no right: ") as failed:
        notifier(app.url, headers={"Authorization": {"file": str(tmp_path / "token")}}).notify(change())
    assert "s3cret" not in str(failed.value)


@pytest.mark.parametrize("before", range(4080, 4097, 4))
def test_a_secret_at_the_end_of_what_is_shown_is_not_shown_in_part(app: App, tmp_path: Path, before: int) -> None:
    (tmp_path / "token").write_text("s3cret-and-long")
    app.answers = lambda heard: (401, {}, b"x" * before + heard.headers["X-Key"].encode() + b"x" * 100)
    with pytest.raises(TransientError) as failed:
        notifier(app.url, headers={"X-Key": {"file": str(tmp_path / "token")}}).notify(change())
    assert "s3" not in str(failed.value)


def test_the_query_of_the_url_is_not_shown_when_the_app_sends_it_back(app: App) -> None:
    app.answering(500, b"no such page: /reload?signature=open%20sesame&n=1, that is open sesame")
    with pytest.raises(TransientError, match=r"no such page") as caught:
        notifier(f"{app.url}/reload?signature=open%20sesame&n=1").notify(change())
    assert "sesame" not in str(caught.value)


def test_an_answer_with_a_header_that_is_none_does_not_bring_the_query_into_the_log() -> None:
    program = (
        "import sys; from refresher.logs import configure; configure(sys.stderr)\n"
        "from tests.fakes.changes import change; from tests.notifiers.test_http import notifier\n"
        "notifier(sys.argv[1]).notify(change())"
    )
    answer = b"HTTP/1.1 500 No\r\nno header\r\nContent-Length: 0\r\n\r\n"
    with raw_server(lambda connection: connection.sendall(answer)) as address:
        argv = [sys.executable, "-c", program, f"{address}/reload?signature=s3cret"]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "answers 500" in ended.stderr
    assert "s3cret" not in ended.stderr


@pytest.mark.parametrize("content", ["s3cret\r\nX-Evil: 1", "s3crét"])
def test_a_secret_that_cannot_be_sent_is_not_shown_either(app: App, tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(PermanentError, match="the header Authorization can't be sent") as failed:
        notifier(app.url, headers={"Authorization": {"file": str(tmp_path / "token")}}).notify(change())
    assert "s3cr" not in str(failed.value)
    assert app.heard == []


def test_an_app_that_is_not_up_yet_is_told_again() -> None:
    with pytest.raises(TransientError, match="refused, the app is not up yet"):
        notifier(f"http://127.0.0.1:{free_port()}").notify(change())


def test_a_name_that_is_not_known_is_told_again() -> None:
    with pytest.raises(TransientError, match=r"POST http://nowhere\.invalid/: "):
        notifier("http://nowhere.invalid/").notify(change())


def test_an_answer_that_is_no_http_is_told_again(raw: Callable[[Callable[[socket.socket], None]], int]) -> None:
    def greet(connection: socket.socket) -> None:
        connection.sendall(b"220 mail ready\r\n")
        until_closed(connection)

    port = raw(greet)
    with pytest.raises(TransientError, match="no sensible answer"):
        notifier(f"http://127.0.0.1:{port}").notify(change())


def test_a_silent_app_is_left_in_time(raw: Callable[[Callable[[socket.socket], None]], int]) -> None:
    port = raw(lambda connection: until_closed(connection))
    with pytest.raises(TransientError, match=r"no answer within 0\.2 s"):
        notifier(f"http://127.0.0.1:{port}", timeout="200ms").notify(change())


def dripping(content: bytes, dripped: list[int]) -> Callable[[socket.socket], None]:
    """Sends one byte every 20 ms until the other end has had enough, and notes each."""

    def drip(connection: socket.socket) -> None:
        connection.settimeout(0.02)
        for byte in content:
            try:
                connection.sendall(bytes([byte]))
                dripped.append(1)
                if not connection.recv(65536):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    return drip


@pytest.mark.parametrize(
    ("scheme", "content"),
    [("http", b"H" + b"T" * 499), ("https", b"\x16\x03\x03\x3f\xff\x02" + bytes(500))],
    ids=["answer", "handshake"],
)
def test_an_app_that_drips_is_left_in_time(
    raw: Callable[[Callable[[socket.socket], None]], int], scheme: str, content: bytes
) -> None:
    def is_left() -> bool:
        dripped: list[int] = []
        port = raw(dripping(content, dripped))
        with pytest.raises(TransientError, match=r"no answer within 0\.3 s"):
            notifier(f"{scheme}://127.0.0.1:{port}", timeout="300ms").notify(change())
        return 1 < len(dripped) < 100

    assert in_time(is_left)


def until_closed(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def test_an_https_app_has_to_show_a_certificate_of_the_given_authority(tmp_path: Path) -> None:
    root = authority()
    (tmp_path / "ca.pem").write_bytes(root.pem)
    (tmp_path / "other.pem").write_bytes(Authority.root("other").pem)
    with App().running(server_context(tmp_path, leaf(root, "127.0.0.1"))) as app:
        url = f"https://127.0.0.1:{app.port}"
        notifier(url, ca_file=str(tmp_path / "ca.pem")).notify(change())
        for distrusting in ({}, {"ca_file": str(tmp_path / "other.pem")}):
            with pytest.raises(TransientError, match="TLS failed: CERTIFICATE_VERIFY_FAILED"):
                notifier(url, **distrusting).notify(change())
    assert len(app.heard) == 1


def test_an_https_app_has_to_be_called_so(tmp_path: Path) -> None:
    root = authority()
    (tmp_path / "ca.pem").write_bytes(root.pem)
    with (
        App().running(server_context(tmp_path, leaf(root, "web.example.com"))) as app,
        pytest.raises(TransientError, match="TLS failed"),
    ):
        notifier(f"https://127.0.0.1:{app.port}", ca_file=str(tmp_path / "ca.pem")).notify(change())


def test_an_authority_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=f"ca_file: {tmp_path}/ca.pem can't be read"):
        notifier("https://127.0.0.1:1", ca_file=str(tmp_path / "ca.pem")).notify(change())


def test_proxies_of_the_environment_are_not_asked(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    notifier(app.url).notify(change())
    assert len(app.heard) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://x/"},
        {"url": "/-/reload"},
        {"url": "http://"},
        {"url": "http://me:s3cret@x/"},
        {"url": "http://x/", "method": "G ET"},
        {"url": "http://x/", "expect": ["2x"]},
        {"url": "http://x/", "expect": [600]},
        {"url": "http://x/", "expect": []},
        {"url": "http://x/", "retries": 3},
        {"url": "http://x/", "confirm": {}},
        {"url": "http://x/", "confirm": {"tls": "127.0.0.1"}},
        {"url": "http://x/", "confirm": {"tls": "127.0.0.1:70000"}},
        {"url": "http://x/", "confirm": {"tls": "a:1", "http": {"url": "http://x/", "contains": "y"}}},
        {"url": "http://x/", "confirm": {"http": {"url": "http://x/", "contains": "{{path}}"}}},
        {"url": "http://x/", "confirm": {"http": {"url": "http://x/", "contains": ""}}},
    ],
)
def test_options_that_cannot_work_are_configuration_errors(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HttpOptions.model_validate(options)


def test_the_options_have_a_json_schema() -> None:
    assert HttpOptions.model_json_schema()["properties"]["expect"]["items"]["type"] == ["string", "integer"]


# -- confirm ----------------------------------------------------------------------------------------------------------


def published(directory: Path, *chain: Issued) -> Path:
    (directory / "tls.crt").write_bytes(b"".join(issued.pem for issued in chain))
    return directory


PATIENT = {"timeout": "60s"}
"""For looks that are counted: none of them is to be given up and repeated because the machine stalls."""


def confirming(url: str, port: int, **options: object) -> HttpNotifier:
    confirm = {"tls": f"127.0.0.1:{port}", "name": "web.example.com", **PATIENT, **options}
    return notifier(url, confirm=confirm)


def is_unconfirmed(tell: Callable[[], None], why: str) -> bool:
    """Whether telling ends so, and the last look says why: where the machine stalls, it says that it took too long."""
    with pytest.raises(TransientError, match="not confirmed within") as failed:
        tell()
    return re.search(why, str(failed.value)) is not None


def test_an_app_that_serves_the_published_certificate_has_heard(app: App, tmp_path: Path) -> None:
    root, new = authority(), leaf(authority(), "web.example.com")
    with App().running(server_context(tmp_path, new)) as server:
        confirming(app.url, server.port).notify(change(published(tmp_path, root, new)))
    assert len(app.heard) == 1


def test_an_app_that_still_serves_the_old_certificate_has_not(app: App, tmp_path: Path) -> None:
    root = authority()
    old, new = leaf(root, "web.example.com"), leaf(root, "web.example.com")
    with App().running(server_context(tmp_path, old)) as server:
        hasty = confirming(app.url, server.port, timeout="300ms")
        tell = partial(hasty.notify, change(published(tmp_path, new)))
        assert in_time(lambda: is_unconfirmed(tell, r"within 0\.3 s: 127.* serves another certificate"))


def test_an_app_that_takes_a_moment_to_change_is_waited_for(tmp_path: Path) -> None:
    root = authority()
    old, new = leaf(root, "web.example.com"), leaf(root, "web.example.com")
    context, shown = server_context(tmp_path, old), []

    def choose(connection: ssl.SSLSocket, name: str | None, first: ssl.SSLContext) -> None:
        shown.append(name)
        if len(shown) > 2:
            connection.context = server_context(tmp_path, new)

    context.sni_callback = choose  # type: ignore[assignment]
    with App().running() as app, App().running(context) as server:
        confirming(app.url, server.port).notify(change(published(tmp_path, new)))
    assert shown == ["web.example.com"] * 3, "the wanted name is asked for"
    assert len(app.heard) == 1, "only the look is repeated"


def test_an_app_that_is_not_there_is_unconfirmed_never_rejected(app: App, tmp_path: Path) -> None:
    path = published(tmp_path, leaf(authority(), "web.example.com"))
    tell = partial(confirming(app.url, free_port(), timeout="100ms").notify, change(path))
    assert in_time(lambda: is_unconfirmed(tell, r"within 0\.1 s: .*does not show a certificate: Connection"))


def test_a_published_file_that_cannot_be_read_is_unconfirmed(app: App, tmp_path: Path) -> None:
    with pytest.raises(TransientError, match=r"no .*web\.pem is published; confirm\.certificate says which"):
        confirming(app.url, free_port(), timeout="100ms", certificate="web.pem").notify(change(tmp_path))


def test_an_app_that_refuses_is_not_asked_to_confirm(app: App, tmp_path: Path) -> None:
    app.answering(422)
    with pytest.raises(RejectedError):
        confirming(app.url, free_port()).notify(change(tmp_path))


def test_an_answer_that_shows_what_was_published_confirms(app: App) -> None:
    app.answering(200, b'{"running": "web-tls/7 3a:91 sha256:aa"}')
    question = {"url": f"{app.url}/status", "contains": "{{asset}}/{{ generation }} {{revision}} {{digest}}"}
    notifier(app.url, confirm={"http": question, **PATIENT}).notify(change())
    assert [(heard.method, heard.path) for heard in app.heard] == [("POST", "/"), ("GET", "/status")]


def test_an_answer_that_shows_something_else_is_asked_for_again(app: App) -> None:
    app.answers = lambda heard: (200, {}, b"generation 7" if len(app.heard) > 3 else b"generation 6")
    question = {"url": app.url, "contains": "generation {{generation}}"}
    notifier(app.url, confirm={"http": question, **PATIENT}).notify(change())
    assert [heard.method for heard in app.heard] == ["POST", "GET", "GET", "GET"]


def test_an_answer_that_never_shows_it_is_unconfirmed_never_rejected(app: App) -> None:
    question = {"url": app.url, "contains": "{{digest}}"}
    tell = partial(notifier(app.url, confirm={"http": question, "timeout": "100ms"}).notify, change())
    assert in_time(lambda: is_unconfirmed(tell, r"within 0\.1 s: GET http.*does not show generation 7"))
    app.answers = lambda heard: (422 if heard.method == "GET" else 200, {}, b"sha256:aa")
    assert in_time(lambda: is_unconfirmed(tell, "answers 422"))


def test_the_question_may_have_secret_headers(app: App, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer s3cret")
    question = {"url": app.url, "contains": "ok", "headers": {"Authorization": {"file": str(tmp_path / "token")}}}
    notifier(app.url, confirm={"http": question, **PATIENT}).notify(change())
    assert [heard.headers.get("Authorization") for heard in app.heard] == [None, "Bearer s3cret"]


def test_a_fifo_in_place_of_the_published_certificate_holds_up_nobody(app: App, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tls.crt")
    confirm = {"tls": f"127.0.0.1:{free_port()}", "name": "web.example.com", "timeout": "200ms"}
    with pytest.raises(TransientError, match="can't be read"):
        notifier(app.url, confirm=confirm).notify(change(path=tmp_path))
