import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
import urllib3
from pydantic import ValidationError

from providers.vault import VaultProvider
from refresher.contract import Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError
from tests.providers.vault_logins import Login, Logins
from tests.providers.vault_sources import Source, contents, held

ANN = {"user": b"ann"}


def wrapped(bao: OpenBao, path: str, data: dict[str, Any]) -> str:
    """A wrapping token with the answer to that write."""
    headers = {"X-Vault-Token": bao.token, "X-Vault-Wrap-TTL": "120s"}
    answer = urllib3.request("POST", f"{bao.address}/v1/{path}", headers=headers, body=json.dumps(data))
    return str(answer.json()["wrap_info"]["token"])


def wrapped_secret_id(login: Login) -> str:
    return wrapped(login.logins.bao, f"auth/{login.mount}/role/web/secret-id", {})


@pytest.fixture
def approle(logins: Logins) -> Login:
    """By a secret id that came wrapped."""
    login = logins.approle()
    secret_id = login.auth["approle"]["secret_id"]
    secret_id["file"].write_text(wrapped_secret_id(login))
    secret_id["wrapped"] = True
    return login


def file_of(login: Login) -> Path:
    file: Path = login.auth["approle"]["secret_id"]["file"]
    return file


def token_source(logins: Logins, file: Path, **credential: Any) -> Source:
    auth = {"token": {"file": file, "wrapped": True, **credential}}
    return Source(logins.bao, logins.directory, path=f"{logins.policy}/app", auth=auth)


def test_a_wrapped_secret_id_is_unwrapped_once_and_used_for_later_logins(bao: OpenBao, approle: Login) -> None:
    before = len(bao.requests("sys/wrapping/"))
    app = approle.source()
    first = app.fetched()
    approle.revoke()
    assert isinstance(app.look(held(first)), Unchanged)
    assert len(approle.asked()) == 2
    assert bao.requests("sys/wrapping/")[before:] == ["update sys/wrapping/lookup", "update sys/wrapping/unwrap"]


def test_sources_that_reach_the_server_in_different_ways_share_what_was_unwrapped(approle: Login) -> None:
    one = approle.source()
    two = approle.source(shared=one.shared, timeout="7s")
    assert contents(one.fetched()) == contents(two.fetched()) == ANN


def test_a_new_wrapping_token_in_the_file_is_unwrapped_at_the_next_login(bao: OpenBao, approle: Login) -> None:
    app = approle.source()
    first = app.fetched()
    bao.write(f"auth/{approle.mount}/role/web", {"secret_id_num_uses": 1})
    file_of(approle).write_text(wrapped_secret_id(approle))
    approle.revoke()
    before = len(bao.requests("sys/wrapping/unwrap"))
    assert isinstance(app.look(held(first)), Unchanged)
    assert len(bao.requests("sys/wrapping/unwrap")) == before + 1


def test_a_wrapping_token_that_was_made_elsewhere_is_not_unwrapped(
    bao: OpenBao, approle: Login, caplog: pytest.LogCaptureFixture
) -> None:
    intercepted = bao.write("sys/wrapping/unwrap", token=file_of(approle).read_text())["data"]
    swapped = wrapped(bao, "sys/wrapping/wrap", intercepted)
    file_of(approle).write_text(swapped)
    before = len(bao.requests("sys/wrapping/unwrap"))
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(PermanentError, match="was made at sys/wrapping/wrap") as caught,
    ):
        approle.source().look()
    assert f"auth/{approle.mount}/role/*/secret-id" in str(caught.value)
    assert "may have been intercepted" in caplog.text
    assert bao.requests("sys/wrapping/unwrap")[before:] == []
    assert approle.asked() == []
    everything = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert not any(secret in everything for secret in (swapped, intercepted["secret_id"]))


def test_a_used_wrapping_token_says_so_after_a_restart(approle: Login) -> None:
    approle.source().fetched()
    with pytest.raises(PermanentError, match=rf"{file_of(approle)} is used up or has expired.*intercepted"):
        approle.source().look()


@pytest.mark.parametrize("content", ["geheim-genug", "s.geheim-genug", "geheim genug"])
def test_what_is_no_wrapping_token_is_permanent_and_not_shown(approle: Login, content: str) -> None:
    file_of(approle).write_text(content)
    with pytest.raises(PermanentError, match="wrapping token") as caught:
        approle.source().look()
    assert "genug" not in "".join(traceback.format_exception(caught.value))


def test_the_path_where_it_is_made_can_be_named(bao: OpenBao, approle: Login) -> None:
    secret_id = approle.auth["approle"]["secret_id"]
    secret_id["creation_path"] = f"auth/{approle.mount}/role/other/secret-id"
    with pytest.raises(PermanentError, match="role/other/secret-id"):
        approle.source().look()
    secret_id["creation_path"] = f"auth/{approle.mount}/role/web/secret-id"
    assert contents(approle.source().fetched()) == ANN


def test_a_wrapped_token_is_used_and_followed(bao: OpenBao, logins: Logins) -> None:
    made = {"policies": [logins.policy]}
    file = logins.file(wrapped(bao, "auth/token/create", made))
    app = token_source(logins, file)
    first = app.fetched()
    before = len(bao.requests())
    assert isinstance(app.look(held(first)), Unchanged)
    assert bao.requests()[before:] == [f"read {logins.policy}/app"]
    file.write_text(wrapped(bao, "auth/token/create-orphan", made))
    before = len(bao.requests("sys/wrapping/unwrap"))
    assert isinstance(app.look(held(first)), Unchanged)
    assert len(bao.requests("sys/wrapping/unwrap")) == before + 1


def test_a_wrapped_token_that_died_is_permanent_until_the_next_one(bao: OpenBao, logins: Logins) -> None:
    made = {"policies": [logins.policy], "id": "geheim-genug-fuer-alle"}
    file = logins.file(wrapped(bao, "auth/token/create", made))
    app = token_source(logins, file)
    first = app.fetched()
    bao.write("auth/token/revoke", {"token": made["id"]})
    with pytest.raises(PermanentError, match=str(file)) as caught:
        app.look(held(first))
    assert "geheim" not in "".join(traceback.format_exception(caught.value))
    file.write_text(wrapped(bao, "auth/token/create", {"policies": [logins.policy]}))
    assert isinstance(app.look(held(first)), Unchanged)


def test_something_else_in_the_wrapping_is_permanent(bao: OpenBao, logins: Logins) -> None:
    file = logins.file(wrapped(bao, "sys/wrapping/wrap", {"user": "geheim"}))
    with pytest.raises(PermanentError, match="held no client_token") as caught:
        token_source(logins, file, creation_path="sys/wrapping/wrap").look()
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_a_creation_path_without_wrapping_is_refused() -> None:
    auth = {"token": {"env": "A", "creation_path": "auth/token/create"}}
    with pytest.raises(ValidationError, match="needs wrapped"):
        VaultProvider.Options.model_validate({"path": "a/b", "auth": auth})
