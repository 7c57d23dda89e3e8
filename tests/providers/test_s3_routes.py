"""Bodies take the way that botocore takes: the same host, the same authorities, the same proxy, the same login."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from providers.s3.clients import Clients
from refresher.errors import PermanentError
from tests.fakes.serving import Asked, Reply, serving
from tests.fakes.tls import server_context
from tests.fakes.web import Request, WebServer, web_server
from tests.providers.buckets import Store
from tests.providers.reading import fetched

LISTING = (
    b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>dir/a</Key><ETag>&quot;a&quot;</ETag>"
    b"<Size>3</Size></Contents></ListBucketResult>"
)


def one(request: Request) -> None:
    """The object `dir/a`, and a listing of it."""
    request.reply(200, {"ETag": '"a"'}, LISTING if "list-type" in request.path else b"one")


@pytest.mark.parametrize("source", [{"key": "dir/a"}, {"prefix": "dir/"}], ids=["object", "prefix"])
def test_a_bucket_in_the_host_name_is_read_there_through_the_environments_proxy(
    store: Store, web: WebServer, clients: Clients, monkeypatch: pytest.MonkeyPatch, source: dict[str, str]
) -> None:
    monkeypatch.setenv("http_proxy", web.url)
    web.respond = one
    provider = store.provider(
        **source, endpoint_url="http://store.example", addressing_style="virtual", clients=clients
    )
    assert fetched(provider)[1] == {"a": b"one"}
    home = f"http://{store.bucket}.store.example/"
    assert all(asked.path.startswith(home) for asked in web.asked)
    assert f"{home}dir/a" in [asked.path for asked in web.asked if asked.method == "GET"]


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[WebServer]:
    """A store with a certificate of an authority whose root is in `ca.pem`."""
    with web_server(server_context(tmp_path)) as server:
        server.respond = one
        yield server


def test_bodies_trust_whom_botocore_is_told_to_trust(
    store: Store, secure: WebServer, clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    assert fetched(store.provider(key="dir/a", endpoint_url=secure.url, clients=clients))[1] == {"a": b"one"}


def test_an_unknown_authority_is_permanent(store: Store, secure: WebServer, clients: Clients) -> None:
    with pytest.raises(PermanentError, match="SSLError"):
        fetched(store.provider(key="dir/a", endpoint_url=secure.url, clients=clients))


def test_a_bundle_of_authorities_that_is_missing_is_permanent(
    store: Store, secure: WebServer, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent")
    with pytest.raises(PermanentError):
        fetched(store.provider(key="dir/a", endpoint_url=secure.url, clients=clients))


def test_the_login_of_a_container_is_used(
    store: Store, clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a", b"one")
    ends = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    login = {"AccessKeyId": store.server.access_key, "SecretAccessKey": store.server.secret_key}
    seen: list[str] = []

    def agent(asked: Asked) -> Reply:
        seen.append(asked.headers["Authorization"])
        return Reply(200, json.dumps({**login, "Token": "", "Expiration": ends}).encode())

    (tmp_path / "token").write_text("projected")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    with serving(agent) as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/login")
        assert fetched(store.provider(key="a", clients=clients))[1] == {"a": b"one"}
    assert seen == ["projected"]
