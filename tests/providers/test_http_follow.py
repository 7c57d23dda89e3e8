"""Waiting at a server that holds requests back; its protocol is in tests/fakes/long_poll.py."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from pydantic import ValidationError

from providers.http import HttpOptions, HttpProvider
from providers.http_follow import patience
from refresher.contract import Provider
from refresher.demo.caddy import Caddy
from refresher.demo.process import free_port
from refresher.errors import PermanentError, TransientError
from refresher.testing import ProviderContract
from tests.fakes.long_poll import ConsulKey, LongPoll, serving
from tests.fakes.raw_server import raw_server
from tests.fakes.tls import server_context
from tests.fakes.web import WebServer, web_server
from tests.providers.reading import fetched
from tests.waiting import until


def provider_of(url: str, **options: Any) -> HttpProvider:
    return HttpProvider(HttpOptions(url=url, **{"wait": "60s", **options}))


class Waiting:
    """What a wait in a thread of its own came to."""

    def __init__(self, wait: Callable[[], bool]) -> None:
        self.answers: list[bool | Exception] = []
        self._wait = wait
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.answers.append(self._wait())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.answers.append(error)

    def answer(self) -> bool | Exception:
        return until(lambda: self.answers)[0]


@pytest.fixture
def shelf() -> LongPoll:
    return LongPoll()


@pytest.fixture
def server(shelf: LongPoll) -> Iterator[WebServer]:
    with serving(shelf) as server:
        yield server


class TestALongPoll(ProviderContract):
    settles_within = 30.0

    @pytest.fixture(autouse=True)
    def _source(self, shelf: LongPoll, server: WebServer) -> Iterator[None]:
        self.shelf, self.url, self.made = shelf, server.url, []
        yield
        for provider in self.made:
            provider.close()

    def provider(self) -> Provider:
        self.made.append(provider_of(f"{self.url}/file"))
        return self.made[-1]

    def change(self) -> None:
        self.shelf.put(b"something else")

    def missing_provider(self) -> Provider:
        self.made.append(provider_of(f"{self.url}/missing"))
        return self.made[-1]

    def unreachable_provider(self) -> Provider:
        return provider_of(f"http://127.0.0.1:{free_port()}/file.txt")


@contextmanager
def following(provider: HttpProvider, revision: str) -> Iterator[Any]:
    with closing(provider), closing(provider.follow(revision)) as follow:
        yield follow


def test_a_wait_is_over_as_soon_as_the_file_changes(shelf: LongPoll, server: WebServer) -> None:
    with following(provider_of(f"{server.url}/file"), '"v1"') as follow:
        waiting = Waiting(follow.wait)
        until(lambda: shelf.held)
        assert not waiting.answers
        shelf.put(b"two")
        assert waiting.answer() is True
    asked = server.asked[-1].headers
    assert asked["if-none-match"] == '"v1"'
    assert asked["prefer"].startswith("wait=")
    assert 48 <= int(asked["prefer"].removeprefix("wait=")) <= 60


def test_what_was_seen_once_is_no_news_any_more(shelf: LongPoll, server: WebServer) -> None:
    # It may have been refused: then what is held stays what it was, and the server would answer at once for ever.
    shelf.put(b"refused")
    with following(provider_of(f"{server.url}/file"), '"v1"') as follow:
        assert follow.wait() is True
        waiting = Waiting(follow.wait)
        until(lambda: shelf.held)
        assert server.asked[-1].headers["if-none-match"] == '"v2"'
        shelf.put(b"repaired")
        assert waiting.answer() is True


def test_a_server_that_does_not_wait_has_no_news(server: WebServer, shelf: LongPoll) -> None:
    shelf.honours = False
    with following(provider_of(f"{server.url}/file"), '"v1"') as follow:
        assert follow.wait() is False


def test_a_server_that_does_not_know_the_wish_answers_at_once(caddy: Caddy) -> None:
    (caddy.root / "follow").mkdir()
    (caddy.root / "follow" / "file.txt").write_text("content")
    provider = provider_of(f"{caddy.url}/follow/file.txt")
    with following(provider, fetched(provider)[0]) as follow:
        assert follow.wait() is False


def test_an_answer_may_come_as_late_as_the_wish_allows() -> None:
    limit = patience(timedelta(minutes=5)).read_timeout
    assert limit is not None
    assert limit > 300 * 17 / 16, "a Consul adds a sixteenth"


def test_the_body_of_news_is_not_waited_for() -> None:
    hung_up = Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "v2"\r\nContent-Length: 50000000\r\n\r\nthe beginning')
        connection.recv(1)
        hung_up.set()

    with raw_server(answer) as url, following(provider_of(f"{url}/file"), '"v1"') as follow:
        assert follow.wait() is True
        assert hung_up.wait(30)


def test_closing_wakes_who_waits(shelf: LongPoll, server: WebServer) -> None:
    provider = provider_of(f"{server.url}/file")
    with closing(provider):
        follow = provider.follow('"v1"')
        waiting = Waiting(follow.wait)
        until(lambda: shelf.held)
        follow.close()
        assert isinstance(waiting.answer(), TransientError)


def test_a_wait_that_begins_after_the_end_is_no_wait(server: WebServer) -> None:
    provider = provider_of(f"{server.url}/file")
    with closing(provider):
        follow = provider.follow('"v1"')
        follow.close()
        assert isinstance(Waiting(follow.wait).answer(), TransientError)


@pytest.fixture
def secure(shelf: LongPoll, tmp_path: Path) -> Iterator[WebServer]:
    with serving(shelf, tls=server_context(tmp_path)) as server:
        yield server


def test_closing_wakes_who_waits_over_tls(secure: WebServer, shelf: LongPoll, tmp_path: Path) -> None:
    provider = provider_of(f"{secure.url}/file", ca_file=tmp_path / "ca.pem")
    with closing(provider):
        follow = provider.follow('"v1"')
        waiting = Waiting(follow.wait)
        until(lambda: shelf.held)
        follow.close()
        assert isinstance(waiting.answer(), TransientError)


def test_a_refused_login_is_permanent_and_being_told_to_come_later_says_when() -> None:
    with web_server() as server, following(provider_of(f"{server.url}/file"), '"v1"') as follow:
        server.respond = lambda request: request.reply(403)
        with pytest.raises(PermanentError, match="answers 403"):
            follow.wait()
        server.respond = lambda request: request.reply(503, {"Retry-After": "7"})
        with pytest.raises(TransientError) as raised:
            follow.wait()
    assert raised.value.retry_after == timedelta(seconds=7)


def test_an_answer_that_names_no_version_may_be_news() -> None:
    with web_server() as server, following(provider_of(f"{server.url}/file"), "") as follow:
        server.respond = lambda request: request.reply(200, {}, b"content")
        assert follow.wait() is True
        assert follow.wait() is True


@pytest.fixture
def key() -> ConsulKey:
    return ConsulKey()


@pytest.fixture
def consul(key: ConsulKey) -> Iterator[WebServer]:
    with serving(key) as server:
        yield server


@pytest.fixture
def watching_key(consul: WebServer) -> Iterator[Any]:
    with following(provider_of(f"{consul.url}/v1/kv/app?raw"), "") as follow:
        yield follow


def test_a_consul_is_asked_for_what_comes_after_its_index(key: ConsulKey, consul: WebServer, watching_key: Any) -> None:
    assert watching_key.wait() is True, "what changed before the first index was known has to be looked at"
    waiting = Waiting(watching_key.wait)
    until(lambda: key.held)
    assert re.fullmatch(r"/v1/kv/app\?raw&index=1&wait=\d+s", consul.asked[-1].path)
    key.put(b"two")
    assert waiting.answer() is True


def test_an_index_that_goes_back_begins_anew(key: ConsulKey, consul: WebServer, watching_key: Any) -> None:
    key.put(b"before", version=100)
    assert watching_key.wait() is True
    waiting = Waiting(watching_key.wait)
    until(lambda: key.held)
    key.put(b"restored", version=7)
    assert waiting.answer() is True
    assert watching_key.wait() is True
    assert consul.asked[-1].path == "/v1/kv/app?raw"
    waiting = Waiting(watching_key.wait)
    until(lambda: key.held)
    assert "index=7&" in consul.asked[-1].path


@pytest.mark.parametrize("index", ["", "0", "-3", "many", "9" * 400, "1.5"])
def test_an_index_that_is_none_is_never_sent_back(index: str) -> None:
    with web_server() as server, following(provider_of(f"{server.url}/v1/kv/app?raw"), "") as follow:
        server.respond = lambda request: request.reply(200, {"X-Consul-Index": index}, b"value")
        follow.wait()
        follow.wait()
    assert [asked.path for asked in server.asked] == ["/v1/kv/app?raw"] * 2


@pytest.mark.parametrize("wait", ["1s", "4s", "11m", "1d"])
def test_a_wait_that_no_server_would_bear_is_refused(wait: str) -> None:
    with pytest.raises(ValidationError, match="from 5s to 10m"):
        HttpOptions(url="https://example.com/file", wait=wait)


def test_the_header_that_waiting_needs_cannot_be_set_beside_it() -> None:
    with pytest.raises(ValidationError, match="Prefer"):
        HttpOptions(url="https://example.com/file", wait="5m", headers={"prefer": "respond-async"})


def test_without_the_option_nobody_waits() -> None:
    assert not HttpProvider(HttpOptions(url="https://example.com/file")).follows
    assert provider_of("https://example.com/file").follows
