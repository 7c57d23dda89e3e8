"""The connection's certificate files are read again when they change, under a session that goes on."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from providers.vault.session import Sessions
from refresher.contract import Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError
from tests.providers.vault_logins import Logins
from tests.providers.vault_sources import Clock, Source, contents, held, unique

ANN = {"user": b"ann"}


@pytest.fixture
def foreign_root(bao: OpenBao) -> str:
    return bao.pki(unique("pki"), "web")


def tls_source(logins: Logins, **options: object) -> Source:
    bao = logins.bao
    given = {"path": f"{logins.policy}/app", "address": bao.tls_address, "ca_file": bao.ca_file}
    return Source(bao, logins.directory, **given | options)


def test_replaced_roots_are_those_that_count(bao: OpenBao, logins: Logins, foreign_root: str, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text(bao.ca_file.read_text())
    app = tls_source(logins, ca_file=roots)
    first = app.fetched()
    roots.write_text(foreign_root)
    with pytest.raises(PermanentError, match="certificate is not trusted"):
        app.look(held(first))
    roots.write_text(foreign_root + "\n" + bao.ca_file.read_text())
    assert isinstance(app.look(held(first)), Unchanged)


def test_a_rotated_client_certificate_is_shown_by_the_running_session(logins: Logins) -> None:
    """Its token is bound to the certificate that it was given to, so that a new login has to follow."""
    clock = Clock(datetime.now(UTC))
    login = logins.cert(token_ttl="300s")
    app = login.source(shared=Sessions(clock))
    first = app.fetched()
    before = len(logins.bao.requests("auth/token/renew-self"))
    logins.new_certificate(login, "web")
    clock.now += timedelta(seconds=210)
    assert isinstance(app.look(held(first)), Unchanged)
    assert len(logins.bao.requests("auth/token/renew-self")) == before + 1
    assert len(login.asked()) == 2


def test_files_that_can_not_be_used_leave_the_connections_as_they_were(
    bao: OpenBao, logins: Logins, caplog: pytest.LogCaptureFixture
) -> None:
    login = logins.cert()
    app = login.source()
    first = app.fetched()
    key = login.auth["cert"]["key_file"]
    of_another = bao.write(f"{login.mount}/issue/client", {"common_name": "web"})["data"]["private_key"]
    with caplog.at_level(logging.WARNING):
        for broken in (of_another, "nonsense"):
            key.write_text(broken)
            assert isinstance(app.look(held(first)), Unchanged)
    key.unlink()
    assert isinstance(app.look(held(first)), Unchanged)
    assert "keep what they had" in caplog.text
    logins.new_certificate(login, "web")
    assert isinstance(app.look(held(first)), Unchanged)


def test_the_server_s_name_can_be_another_than_the_address_s(logins: Logins) -> None:
    assert contents(tls_source(logins, tls_server_name="localhost").fetched()) == ANN
    with pytest.raises(PermanentError, match=r"not trusted.*vault\.example\.com"):
        tls_source(logins, tls_server_name="vault.example.com").look()
