"""As whom a bucket is asked: profiles, roles, projected tokens, keys of the customer's."""

import base64
import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from providers.s3.clients import Clients
from providers.s3.options import S3Options
from refresher.contract import Fetched
from refresher.errors import PermanentError, TransientError
from tests.fakes.raw_server import raw_server
from tests.fakes.sts import Sts, sts
from tests.fakes.web import WebServer
from tests.providers.buckets import Store
from tests.providers.reading import content, fetched

ROLE = "arn:aws:iam::123456789012:role/models"


@pytest.fixture
def nobody(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without credentials: where its credentials file would be. The bucket holds `a`."""
    store.put("a", b"one")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "credentials"


@pytest.fixture
def tokens(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sts]:
    """A token service whose logins the store takes."""
    with sts(store.server.access_key, store.server.secret_key) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        yield service


def credentials(path: Path, name: str, key: str, secret: str) -> None:
    path.write_text(f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")


def test_a_profile_of_the_shared_files_is_used(store: Store, clients: Clients, nobody: Path) -> None:
    credentials(nobody, "models", store.server.access_key, store.server.secret_key)
    assert fetched(store.provider(key="a", profile="models", clients=clients))[1] == {"a": b"one"}


def test_a_profile_that_nobody_has_is_permanent(store: Store, clients: Clients, nobody: Path) -> None:
    with pytest.raises(PermanentError, match="ProfileNotFound"):
        fetched(store.provider(key="a", profile="models", clients=clients))


def test_a_role_is_taken_with_the_credentials_of_the_chain(
    store: Store, clients: Clients, nobody: Path, tokens: Sts
) -> None:
    credentials(nobody, "default", "AKIDCHAIN", "chain-secret")
    provider = store.provider(key="a", role_arn=ROLE, external_id="ours", role_session_name="pod-1", clients=clients)
    for _ in range(2):
        assert fetched(provider)[1] == {"a": b"one"}
    (asked,) = tokens.asked
    assert (asked["Action"], asked["RoleArn"]) == ("AssumeRole", ROLE)
    assert (asked["ExternalId"], asked["RoleSessionName"]) == ("ours", "pod-1")
    assert "Credential=AKIDCHAIN/" in tokens.signed_by[0]


def test_a_roles_credentials_are_asked_for_again_before_they_end(
    store: Store, clients: Clients, nobody: Path, tokens: Sts
) -> None:
    credentials(nobody, "default", "AKIDCHAIN", "chain-secret")
    # Under botocore's ten minutes, in which a login is used only if there is no other.
    tokens.lifetime = timedelta(minutes=5)
    with store.provider(key="a", role_arn=ROLE, clients=clients).fetch(None) as answer:
        assert isinstance(answer, Fetched)
        before = len(tokens.asked)
        assert content(answer.files[0]) == b"one"
    assert len(tokens.asked) > before


def test_a_role_that_is_refused_is_permanent(store: Store, clients: Clients, nobody: Path, tokens: Sts) -> None:
    credentials(nobody, "default", "AKIDCHAIN", "chain-secret")
    tokens.refuses = "AccessDenied"
    with pytest.raises(PermanentError, match="AccessDenied"):
        fetched(store.provider(key="a", role_arn=ROLE, clients=clients))


def test_a_role_without_a_login_to_take_it_with_is_permanent(
    store: Store, clients: Clients, nobody: Path, tokens: Sts
) -> None:
    with pytest.raises(PermanentError, match="NoCredentials"):
        fetched(store.provider(key="a", role_arn=ROLE, clients=clients))
    assert tokens.asked == []


def test_a_profile_can_name_a_role_and_the_profile_to_take_it_with(
    store: Store, clients: Clients, nobody: Path, tokens: Sts
) -> None:
    credentials(nobody, "base", "AKIDCHAIN", "chain-secret")
    nobody.with_name("config").write_text(f"[profile models]\nrole_arn = {ROLE}\nsource_profile = base\n")
    assert fetched(store.provider(key="a", profile="models", clients=clients))[1] == {"a": b"one"}
    assert [asked["Action"] for asked in tokens.asked] == ["AssumeRole"]


def test_a_projected_token_of_a_service_account_is_a_login(
    store: Store, clients: Clients, nobody: Path, tokens: Sts, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = nobody.with_name("token")
    token.write_text("first")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "pod-1")
    assert fetched(store.provider(key="a", clients=clients))[1] == {"a": b"one"}
    (asked,) = tokens.asked
    assert asked["Action"] == "AssumeRoleWithWebIdentity"
    assert (asked["RoleArn"], asked["WebIdentityToken"], asked["RoleSessionName"]) == (ROLE, "first", "pod-1")
    assert tokens.signed_by == [""]


def test_a_token_service_that_is_down_is_transient(
    store: Store, clients: Clients, nobody: Path, tokens: Sts, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials(nobody, "default", "AKIDCHAIN", "chain-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    with pytest.raises(TransientError, match="reached"):
        fetched(store.provider(key="a", role_arn=ROLE, clients=clients))


def test_a_token_service_that_never_answers_is_transient_and_not_waited_for(
    store: Store, nobody: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials(nobody, "default", "AKIDCHAIN", "chain-secret")
    with raw_server(lambda connection: connection.recv(1)) as url, closing(Clients(read_timeout=0.3)) as clients:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        started = time.monotonic()
        with pytest.raises(TransientError, match="reached"):
            fetched(store.provider(key="a", role_arn=ROLE, clients=clients))
    assert time.monotonic() - started < 20


def test_a_token_service_that_answers_a_page_is_permanent(
    store: Store, clients: Clients, nobody: Path, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials(nobody, "default", "AKIDCHAIN", "chain-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", web.url)
    web.respond = lambda request: request.reply(200, {}, b"<html><p>Log in<br></html>")
    with pytest.raises(PermanentError, match="isn't what AWS's API"):
        fetched(store.provider(key="a", role_arn=ROLE, clients=clients))


def key_file(path: Path, content: bytes) -> dict[str, str]:
    path.write_bytes(content)
    return {"file": str(path)}


@pytest.mark.parametrize("source", [{"key": "a"}, {"prefix": ""}], ids=["object", "prefix"])
@pytest.mark.parametrize("written", [bytes, base64.b64encode, lambda key: base64.b64encode(key) + b"\n"])
def test_an_object_is_read_with_the_customers_key(
    store: Store, tmp_path: Path, written: Any, source: dict[str, str]
) -> None:
    key = os.urandom(32)
    body = os.urandom(100_000)
    store.put("a", body, SSECustomerAlgorithm="AES256", SSECustomerKey=key)
    provider = store.provider(**source, sse_customer_key=key_file(tmp_path / "key", written(key)))
    with provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        assert content(answer.files[0]) == body
        assert content(answer.files[0], 70_000) == body[70_000:]


def test_an_object_that_needs_a_key_is_permanent_without(store: Store) -> None:
    store.put("a", b"one", SSECustomerAlgorithm="AES256", SSECustomerKey=os.urandom(32))
    with pytest.raises(PermanentError):
        fetched(store.provider(key="a"))


@pytest.mark.parametrize("written", [b"too short", base64.b64encode(b"x" * 31), b"x" * 33])
def test_a_key_of_another_size_is_permanent_and_not_shown(store: Store, tmp_path: Path, written: bytes) -> None:
    with pytest.raises(PermanentError, match="must be 32 bytes") as refused:
        fetched(store.provider(key="a", sse_customer_key=key_file(tmp_path / "key", written)))
    assert written.decode() not in f"{refused.value!r} {refused.value.__cause__!r}"


def test_a_key_never_appears_in_an_error(store: Store, tmp_path: Path, web: WebServer) -> None:
    key = os.urandom(32)
    shown = base64.b64encode(key).decode()
    web.respond = lambda request: request.reply(
        400, {}, f"<Error><Code>InvalidArgument</Code><ArgumentValue>{shown}</ArgumentValue></Error>".encode()
    )
    provider = store.provider(prefix="", sse_customer_key=key_file(tmp_path / "key", key), endpoint_url=web.url)
    with pytest.raises(PermanentError, match="InvalidArgument") as refused:
        fetched(provider)
    assert shown not in f"{refused.value!r} {refused.value.__cause__!r}"


@pytest.mark.parametrize(
    "options",
    [
        {"external_id": "a"},
        {"role_arn": ROLE, "role_session_name": "a b"},
        {"request_payer": "me"},
        {"sse_customer_key": {"env": "KEY"}, "endpoint_url": "http://minio:9000"},
        {"sse_customer_key": "x" * 32},
        {"key": "a/../b"},
    ],
)
def test_options_that_make_no_sense_are_refused_and_not_quoted(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        S3Options(**{"bucket": "b", "key": "a", **options})
    assert "x" * 32 not in str(refused.value)


def test_connections_are_closed_after_the_last_source_that_uses_them(store: Store, clients: Clients) -> None:
    store.put("a", b"one")
    one, other = (store.provider(key="a", clients=clients) for _ in range(2))
    fetched(one)
    login = clients.login(one.options)
    one.close()
    assert clients.login(one.options) is login
    other.close()
    with closing(store.provider(key="a", clients=clients)) as again:
        assert fetched(again)[1] == {"a": b"one"}
        assert clients.login(again.options) is not login
