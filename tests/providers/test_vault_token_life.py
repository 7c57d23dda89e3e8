from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest

from providers.vault.session import Sessions
from refresher.contract import Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError
from tests.providers.vault_logins import METHODS, Logins
from tests.providers.vault_sources import Source, held


def requests_after(bao: OpenBao, before: int) -> list[str]:
    """What the server was asked since it had been asked so often, by its audit log."""
    return bao.requests()[before:]


@pytest.mark.parametrize("method", METHODS)
def test_a_token_revoked_at_the_server_is_replaced_within_one_look(bao: OpenBao, logins: Logins, method: str) -> None:
    login = logins.by(method)
    app = login.source()
    first = app.fetched()
    login.revoke()
    before = len(bao.requests())
    assert isinstance(app.look(held(first)), Unchanged)
    refused, looked_up, logged_in, read = requests_after(bao, before)
    assert (refused, looked_up) == (f"read {logins.policy}/app", "read auth/token/lookup-self")
    assert logged_in.startswith(f"update auth/{login.mount}/login")
    assert read == refused


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_right_costs_one_look_up_and_no_login(bao: OpenBao, logins: Logins, method: str) -> None:
    app = logins.by(method).source(path=f"{logins.policy}/other")
    for expected in (1, 0):
        before = len(bao.requests("auth/"))
        with pytest.raises(PermanentError, match=r"403.*permission denied"):
            app.look()
        asked = bao.requests("auth/")[before:]
        assert len([each for each in asked if "/login" in each]) == expected
        assert asked[-1] == "read auth/token/lookup-self"


def test_a_given_token_that_was_revoked_is_followed_at_the_next_request_after_its_file(
    bao: OpenBao, logins: Logins
) -> None:
    token = bao.new_token([logins.policy])
    file = logins.file(token)
    app = Source(bao, logins.directory, path=f"{logins.policy}/app", auth={"token": {"file": file}})
    first = app.fetched()
    bao.write("auth/token/revoke", {"token": token})
    file.write_text(bao.new_token([logins.policy]))
    before = len(bao.requests())
    assert isinstance(app.look(held(first)), Unchanged)
    assert requests_after(bao, before) == ["read auth/token/lookup-self", f"read {logins.policy}/app"]


def test_ten_sources_whose_token_died_log_in_once(logins: Logins) -> None:
    login, shared = logins.approle(), Sessions(lambda: datetime.now(UTC))
    sources, together = [login.source(shared=shared) for _ in range(10)], Barrier(10)

    def look(app: Source) -> object:
        together.wait(timeout=60)
        return app.fetched().revision

    with ThreadPoolExecutor(10) as pool:
        first = list(pool.map(look, sources))
        assert len(login.asked()) == 1
        login.revoke()
        assert list(pool.map(look, sources)) == first
    assert len(login.asked()) == 2
    shared.close()


def test_only_a_token_in_a_file_is_watched(logins: Logins) -> None:
    for method in METHODS:
        assert logins.by(method).source().provider.watched == []
    file = logins.file("geheim-genug")
    for auth, watched in (({"file": file}, [file]), ({"env": "TOKEN"}, [])):
        assert Source(logins.bao, logins.directory, path="a/b", auth={"token": auth}).provider.watched == watched
