import logging
import time
from datetime import UTC, datetime
from threading import Event

import pytest
from pydantic import ValidationError

from providers.vault import VaultProvider
from providers.vault.session import Sessions
from refresher.demo.openbao import OpenBao
from refresher.errors import TransientError
from tests.fakes.serving import Asked, Reply, serving
from tests.providers.vault_logins import METHODS, Logins


def revocations(bao: OpenBao) -> int:
    return len(bao.requests("auth/token/revoke-self"))


@pytest.mark.parametrize("method", METHODS)
def test_the_token_of_a_login_is_revoked_at_the_end_where_that_is_wanted(
    bao: OpenBao, logins: Logins, method: str
) -> None:
    app = logins.by(method).source(revoke_on_exit=True)
    app.fetched()
    before = revocations(bao)
    app.shared.close()
    app.shared.close()
    assert revocations(bao) == before + 1


def test_no_token_is_revoked_unasked(bao: OpenBao, logins: Logins) -> None:
    app = logins.approle().source()
    app.fetched()
    before = revocations(bao)
    app.shared.close()
    assert revocations(bao) == before


def test_who_never_logged_in_has_nothing_to_revoke(bao: OpenBao, logins: Logins) -> None:
    before = revocations(bao)
    logins.approle().source(revoke_on_exit=True).shared.close()
    assert revocations(bao) == before


def test_a_fetch_that_outlives_the_end_logs_in_no_more(logins: Logins) -> None:
    login = logins.approle()
    app = login.source(revoke_on_exit=True)
    app.fetched()
    app.shared.close()
    with pytest.raises(TransientError, match="refresher stops"):
        app.look()
    assert len(login.asked()) == 1


def test_a_token_that_can_not_be_revoked_is_told_of(logins: Logins, caplog: pytest.LogCaptureFixture) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/login"):
            return Reply(200, b'{"auth": {"client_token": "geheim-genug", "lease_duration": 60}}')
        return Reply(503) if "revoke" in asked.path else Reply(200, b'{"data": {"user": "ann"}}')

    with serving(answer) as address, caplog.at_level(logging.WARNING):
        app = logins.approle().source(address=address, revoke_on_exit=True)
        app.fetched()
        app.shared.close()
    assert "lives on until it expires" in caplog.text
    assert "geheim" not in caplog.text


def test_a_server_that_never_answers_does_not_hold_up_the_stop(
    logins: Logins, caplog: pytest.LogCaptureFixture
) -> None:
    over = Event()

    def answer(asked: Asked) -> Reply:
        if "revoke" in asked.path:
            over.wait(20)
        return Reply(200, b'{"auth": {"client_token": "t", "lease_duration": 60}, "data": {"user": "ann"}}')

    with serving(answer) as address, caplog.at_level(logging.WARNING):
        shared = Sessions(lambda: datetime.now(UTC))
        for _ in range(10):
            logins.approle().source(address=address, revoke_on_exit=True, shared=shared).fetched()
        started = time.monotonic()
        shared.close()
        took = time.monotonic() - started
        over.set()
    assert 1 < took < 10, "one after the other they take fifteen"
    assert "could be revoked in time" in caplog.text


@pytest.mark.parametrize("auth", [None, {"token": {"env": "A"}}, {"token": {"file": "/t", "wrapped": True}}])
def test_a_token_that_was_given_is_never_revoked(auth: object) -> None:
    with pytest.raises(ValidationError, match="isn't its own"):
        VaultProvider.Options.model_validate({"path": "a/b", "revoke_on_exit": True, "auth": auth})


def test_the_last_source_with_a_login_revokes_its_token_and_others_go_on_until_then(
    bao: OpenBao, logins: Logins
) -> None:
    login = logins.approle()
    app = login.source(revoke_on_exit=True)
    other = login.source(revoke_on_exit=True, shared=app.shared)
    other.fetched()
    before = revocations(bao)
    app.provider.close()
    other.fetched()
    assert revocations(bao) == before
    other.provider.close()
    assert revocations(bao) == before + 1
    app.shared.close()
    assert revocations(bao) == before + 1
