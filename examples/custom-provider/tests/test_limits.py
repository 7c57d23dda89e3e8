"""Servers that are slow, huge, hostile, or no Git servers; logins; and what an author wrote by mistake."""

import hashlib
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.object_store import MemoryObjectStore
from dulwich.objects import Blob
from dulwich.pack import pack_object_header
from pydantic import ValidationError
from refresher_git import GitProvider, guard
from refresher_git.options import GitOptions
from refresher_git.packs import unpack
from serving import Asked, Repository, served

from refresher.contract import Fetched
from refresher.errors import PermanentError, RefresherError, TransientError, UnavailableError

ADVERTISED = "application/x-git-upload-pack-advertisement"


def fetch(url: str, *, patience: float = 15.0, **options: Any) -> None:
    with GitProvider(GitOptions(url=url, **options), patience=patience).fetch(None) as answer:
        assert isinstance(answer, Fetched)
        for file in answer.files:
            file.open()


@contextmanager
def answering(status: str, body: bytes = b"", **headers: str) -> Iterator[str]:
    """A web server that always answers this."""

    def app(environ: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response(status, [(name.replace("_", "-"), value) for name, value in headers.items()])
        return [body]

    with served(app) as address:
        yield address


@contextmanager
def connected(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that answers its one connection as the function does, until the context ends."""
    done = threading.Event()

    def serve() -> None:
        with suppress(OSError), server.accept()[0] as connection:
            connection.recv(65536)
            answer(connection, done)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def test_a_token_is_sent_and_read_anew_at_each_fetch(
    repository: Repository, url: str, asked: Asked, tmp_path: Path
) -> None:
    repository.commit({"a": b"1"})
    token = tmp_path / "token"
    provider = GitProvider(GitOptions.model_validate({"url": url, "token": {"file": str(token)}}))
    for password in ("s3cret", "another"):
        asked.password = password
        token.write_text(f"{password}\n")
        with provider.fetch(None) as answer:
            assert isinstance(answer, Fetched)


def test_a_token_that_is_refused_is_permanent_and_not_in_the_message(
    url: str, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.password = "right"
    monkeypatch.setenv("TOKEN", "wr0ng")
    with pytest.raises(PermanentError, match="answers 401") as raised:
        fetch(url, token={"env": "TOKEN"})
    assert "wr0ng" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "headers", "expected", "wait"),
    [
        ("404 Not Found", {}, PermanentError, None),
        ("301 Moved Permanently", {"Location": "https://example.com/"}, PermanentError, None),
        ("500 Internal Server Error", {}, TransientError, None),
        ("503 Service Unavailable", {"Retry_After": "7"}, UnavailableError, timedelta(seconds=7)),
        ("429 Too Many Requests", {"Retry_After": "later"}, UnavailableError, None),
        ("200 OK", {"Content_Type": "text/html"}, PermanentError, None),
        ("200 OK", {"Content_Type": ADVERTISED}, TransientError, None),
    ],
)
def test_an_answer_means_what_happens_next(
    status: str, headers: dict[str, str], expected: type[RefresherError], wait: timedelta | None
) -> None:
    with answering(status, **headers) as url, pytest.raises(expected) as raised:
        fetch(url)
    assert type(raised.value) is expected
    assert getattr(raised.value, "retry_after", None) == wait


def test_a_server_that_can_not_be_reached_is_away_for_all_its_repositories(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="accepts no connection"):
            fetch(f"{closed}/settings.git")
        with pytest.raises(UnavailableError, match="has no address"):
            fetch("http://nobody.invalid/settings.git")
        monkeypatch.setenv("http_proxy", closed)
        with pytest.raises(UnavailableError, match="proxy"):
            fetch("http://nobody.invalid/settings.git")


def test_a_server_that_says_nothing_is_away() -> None:
    def nothing(_: socket.socket, done: threading.Event) -> None:
        done.wait()

    with connected(nothing) as url, pytest.raises(UnavailableError, match="in time"):
        fetch(url, patience=0.2)


@pytest.mark.parametrize("body", [b"zzzz", b"0003", b"fff0half", b"000eversion 2\n", b"\xff" * 4096])
def test_what_is_not_gits_protocol_is_transient(body: bytes) -> None:
    with answering("200 OK", body, Content_Type=ADVERTISED) as url, pytest.raises(TransientError):
        fetch(url)


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LONGEST", 0.5)

    def drip(connection: socket.socket, done: threading.Event) -> None:
        connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Type: {ADVERTISED}\r\n\r\nfff0".encode())
        for _ in range(200):
            if not done.wait(0.05):
                connection.sendall(b"x")

    with connected(drip) as url, pytest.raises(TransientError, match=r"more than 0\.5 s"):
        fetch(url)


def test_a_commit_that_is_larger_than_the_limit_is_not_taken_in(repository: Repository, url: str) -> None:
    repository.commit({"noise": bytes(range(256)) * 40 + Path(__file__).read_bytes()})
    with pytest.raises(PermanentError, match="sends more than the limit of 2000 bytes"):
        fetch(url, limit=2000)


def test_a_commit_that_would_become_larger_than_the_limit_is_not_unpacked(repository: Repository, url: str) -> None:
    repository.commit({"zeros": bytes(5_000_000)})
    with pytest.raises(PermanentError, match="becomes more than the limit of 1048576 bytes"):
        fetch(url, limit="1MiB")
    fetch(url, limit="8MiB")


def test_a_delta_that_would_become_larger_than_the_limit_is_not_applied() -> None:
    base, store = Blob.from_string(bytes(65536)), MemoryObjectStore()
    size = b"\x80\x80\x04"  # 65536, as a delta writes it
    delta = size + b"\x80\x80\x90\x03" + b"\x80" * 100  # 100 times the whole base: 6,553,600
    pack = pack_of((3, None, bytes(65536)), (7, bytes.fromhex(base.id.decode()), delta))
    with pytest.raises(PermanentError, match="becomes more than the limit of 1000000 bytes"):
        unpack(pack, store, limit=1_000_000)
    unpack(pack, store, limit=7_000_000)
    assert sorted(len(store.get_raw(each)[1]) for each in store) == [65536, 6_553_600]


def pack_of(*objects: tuple[int, bytes | None, bytes]) -> bytes:
    """A pack of objects, each by its type, the base of a delta, and its content (gitformat-pack)."""
    pack = b"PACK" + (2).to_bytes(4, "big") + len(objects).to_bytes(4, "big")
    for kind, base, content in objects:
        pack += bytes(pack_object_header(kind, base, len(content), DEFAULT_OBJECT_FORMAT)) + zlib.compress(content)
    return pack + hashlib.sha1(pack).digest()


def test_nobody_but_the_repositorys_server_is_asked() -> None:
    gatekeeper = guard.Guard(None, "https://example.com/settings.git", limit=1)  # type: ignore[arg-type]
    with pytest.raises(PermanentError, match="leads to another place"):
        gatekeeper.request("GET", "https://example.com/settings.gitx/pack", headers={}, preload_content=False)


def test_a_url_stands_for_its_options() -> None:
    url = "git+https://example.com/acme/settings.git?ref=v1#config/web%20site/"
    assert GitOptions.model_validate(GitProvider.from_url(url)) == GitOptions(
        url="https://example.com/acme/settings.git", ref="v1", path="config/web site"
    )
    with pytest.raises(ValueError, match="no other parameter"):
        GitProvider.from_url("git+https://example.com/settings.git?ref=v1&token=x")


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ssh://git@example.com/settings.git"},
        {"url": "git@example.com:settings.git"},
        {"url": "https://user:s3cret@example.com/settings.git"},
        {"url": "https://example.com/settings.git?x=1"},
        {"url": "https://example.com/settings.git", "path": "../.."},
        {"url": "https://example.com/settings.git", "ref": "ma in"},
    ],
)
def test_options_that_cannot_work_are_refused_without_a_secret_in_the_message(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as raised:
        GitOptions.model_validate(options)
    assert "s3cret" not in str(raised.value)
