"""Logins of a real PostgreSQL, from a real OpenBao, through the real process."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from refresher.demo.openbao import OpenBao
from tests.fakes.app import App
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.providers.databases import database, role, static_role
from tests.servers.postgres import Postgres
from tests.waiting import until


@pytest.fixture
def mount(bao: OpenBao, postgres: Postgres) -> Iterator[str]:
    with database(bao, postgres) as name:
        yield name


def configured(pki: Pki, path: str, **more: Any) -> dict[str, Any]:
    return pki.configuration(db={"source": f"vault://{path}", **more})


def login(sidecar: Sidecar) -> tuple[str, str]:
    """The name and password of one generation."""
    data = (sidecar.volume / "db" / "..data").resolve()
    return (data / "username").read_text(), (data / "password").read_text()


def first_login(sidecar: Sidecar) -> tuple[str, str]:
    """The same of the first one, as soon as it is there."""
    until(lambda: sidecar.state("db")["generation"] == 1)
    return login(sidecar)


def test_a_replaced_login_works_until_the_app_has_heard_of_the_next_and_is_then_revoked(
    tmp_path: Path, bao: OpenBao, postgres: Postgres, pki: Pki, mount: str, app: App
) -> None:
    role(bao, mount, default_ttl="1h", max_ttl="2h")
    told = {"publish": {"grace": "1s"}, "notify": [{"http": {"url": f"{app.url}/reload"}}]}
    looked = Event()
    with running(tmp_path, configured(pki, f"{mount}/creds/app", **told)) as sidecar:
        first = first_login(sidecar)
        assert postgres.lets_in(*first)
        until(lambda: sidecar.state("db")["notified_generation"] == 1)
        app.answers = lambda _: (200 if looked.wait(60) else 503, {}, b"")  # it hasn't heard before we have looked
        assert sidecar.ask("POST", "/refresh/db").json()["generation"] == 2
        second = login(sidecar)
        assert postgres.lets_in(*second)
        assert postgres.lets_in(*first)
        until(lambda: len(app.heard) == 2)
        assert postgres.lets_in(*first)
        looked.set()
        until(lambda: not postgres.lets_in(*first))
        assert postgres.lets_in(*second)
        assert bao.requests(f"{mount}/creds/app") == [f"read {mount}/creds/app"] * 2


def test_a_login_that_can_live_no_longer_is_replaced_before_its_end(
    tmp_path: Path, bao: OpenBao, postgres: Postgres, pki: Pki, mount: str
) -> None:
    # It can't be renewed for half as long again, and is replaced with a third of its life left, which is five seconds.
    role(bao, mount, default_ttl="16s", max_ttl="16s")
    with running(tmp_path, configured(pki, f"{mount}/creds/app")) as sidecar:
        first, let_in = first_login(sidecar), []
        until(lambda: let_in.append(postgres.lets_in(*login(sidecar))) or login(sidecar) != first)
        assert all(let_in)
        assert postgres.lets_in(*login(sidecar))


def test_an_app_that_is_down_keeps_its_login(
    tmp_path: Path, bao: OpenBao, postgres: Postgres, pki: Pki, mount: str
) -> None:
    role(bao, mount, default_ttl="1h", max_ttl="2h")
    deaf = {"publish": {"grace": "0s"}, "notify": [{"http": {"url": "http://127.0.0.1:9/reload"}}]}
    with running(tmp_path, configured(pki, f"{mount}/creds/app", **deaf)) as sidecar:
        first = first_login(sidecar)
        assert sidecar.ask("POST", "/refresh/db").json()["generation"] == 2
        assert sidecar.ask("POST", "/refresh/db").json()["generation"] == 3
        assert postgres.lets_in(*first)


def test_a_restart_makes_no_login_and_goes_on_renewing_the_one_there_is(
    tmp_path: Path, bao: OpenBao, postgres: Postgres, pki: Pki, mount: str
) -> None:
    role(bao, mount, default_ttl="1m", max_ttl="1h")
    soon = {"refresh": {"renew_at": "5%"}}  # and long before its end, however long a start takes
    with running(tmp_path, configured(pki, f"{mount}/creds/app", **soon)) as sidecar:
        first_login(sidecar)
        sidecar.kill()
        sidecar.start()
        end = sidecar.planned("db", 1)["expires_at"]
        until(lambda: sidecar.state("db")["expires_at"] > end)
        assert sidecar.state("db")["generation"] == 1
        assert postgres.lets_in(*login(sidecar))
        assert len(bao.requests(f"{mount}/creds/app")) == 1


def test_a_password_that_the_server_changes_is_there_right_after(
    tmp_path: Path, bao: OpenBao, postgres: Postgres, pki: Pki, mount: str
) -> None:
    static_role(bao, postgres, mount, rotation_period="6s")
    slow = {"refresh": {"every": "1h"}}
    with running(tmp_path, configured(pki, f"{mount}/static-creds/app", **slow)) as sidecar:
        first = first_login(sidecar)
        assert sidecar.planned("db", 1)["why_next"] == "rotation"
        until(lambda: login(sidecar)[1] != first[1])
        until(lambda: postgres.lets_in(*login(sidecar)))
        assert set(sidecar.state("db")["files"]) == {"username", "password", "last_vault_rotation", "rotation_period"}
