from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from providers.vault import rotation
from providers.vault.options import VaultOptions
from refresher.contract import Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError
from tests.providers.databases import database, lets_in, static_role
from tests.providers.vault_sources import Source, Sources, contents, held
from tests.servers.postgres import Postgres
from tests.waiting import until

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def mount(bao: OpenBao, postgres: Postgres) -> Iterator[str]:
    """A database engine with a login whose password changes every day."""
    with database(bao, postgres) as name:
        static_role(bao, postgres, name, rotation_period="24h")
        yield name


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path) -> Sources:
    return lambda **options: Source(bao, tmp_path, **options)


def test_static_credentials_log_in_and_come_without_the_counter(
    source: Sources, mount: str, postgres: Postgres
) -> None:
    found = source(path=f"{mount}/static-creds/app").fetched()
    assert sorted(contents(found)) == ["last_vault_rotation", "password", "rotation_period", "username"]
    assert lets_in(postgres, found)
    assert found.lease is None
    assert not found.minted


@pytest.mark.parametrize("chosen", [None, ["password"]])
def test_a_counter_that_went_on_is_no_news(bao: OpenBao, source: Sources, mount: str, chosen: list[str] | None) -> None:
    def counter() -> int:
        return int(bao.read(f"{mount}/static-creds/app")["data"]["ttl"])

    app = source(path=f"{mount}/static-creds/app", fields=chosen)
    before, first = counter(), app.fetched()
    until(lambda: counter() < before - 1)
    assert isinstance(app.look(held(first)), Unchanged)


def test_the_next_rotation_is_told_with_the_news_and_without(source: Sources, mount: str) -> None:
    app = source(path=f"{mount}/static-creds/app")
    first = app.fetched()
    rotated = datetime.fromisoformat(contents(first)["last_vault_rotation"].decode())
    assert first.changes_at == rotated + timedelta(hours=24)
    again = app.look(held(first))
    assert isinstance(again, Unchanged)
    assert again.changes_at == first.changes_at


def test_a_rotated_password_is_news_and_logs_in(bao: OpenBao, source: Sources, mount: str, postgres: Postgres) -> None:
    app = source(path=f"{mount}/static-creds/app")
    first = app.fetched()
    bao.write(f"{mount}/rotate-role/app")
    second = app.fetched(held(first))
    assert not lets_in(postgres, first)
    assert lets_in(postgres, second)
    assert contents(second)["username"] == contents(first)["username"]


@pytest.mark.parametrize("fields", [["ttl"], {"left.txt": "ttl", "password": "password"}])
def test_the_counter_itself_is_refused(source: Sources, mount: str, fields: Any) -> None:
    with pytest.raises(PermanentError, match="ttl is another one at each look: leave it out of fields"):
        source(path=f"{mount}/static-creds/app", fields=fields).look()


def test_a_secret_may_have_a_field_called_ttl(bao: OpenBao, source: Sources) -> None:
    bao.kv(mount := "static-creds-kv", 1)
    fields = {"ttl": "1", "password": "p"}
    bao.write(f"{mount}/static-creds/app", fields)
    assert contents(source(path=f"{mount}/static-creds/app").fetched()).keys() == fields.keys()


def next_look(**fields: Any) -> datetime | None:
    options = VaultOptions(path="ldap/static-cred/app")
    return rotation.of({"ttl": 0, "last_vault_rotation": "x"} | fields, options, NOW).changes_at


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"last_vault_rotation": "2026-11-22T08:59:30.123456789Z", "rotation_period": 60},
            timedelta(seconds=30.123456),
        ),
        ({"last_vault_rotation": "2026-11-22T10:59:30+02:00", "rotation_period": 60}, timedelta(seconds=30)),
        (
            {"last_vault_rotation": "2026-11-22T08:59:30Z", "rotation_schedule": "0 0 * * SAT", "ttl": 7},
            timedelta(0, 7),
        ),
        ({"last_vault_rotation": "2026-11-22T08:59:30", "rotation_period": 60, "ttl": 31}, timedelta(seconds=31)),
        ({"rotation_period": 60, "ttl": 7}, timedelta(seconds=7)),
    ],
)
def test_the_next_look_is_when_the_password_changes(fields: dict[str, Any], expected: timedelta) -> None:
    assert next_look(**fields) == NOW + expected


def test_a_rotation_beyond_the_end_of_time_is_none() -> None:
    assert next_look(last_vault_rotation="9999-12-31T23:59:59Z", rotation_period=60) is None


def test_an_overdue_rotation_is_looked_for_again_soon_but_not_for_ever() -> None:
    late = {"last_vault_rotation": "2026-11-22T08:59:00Z", "rotation_period": 57}
    assert next_look(**late) == NOW + timedelta(seconds=2)
    assert next_look(**late | {"last_vault_rotation": "2026-11-22T08:58:00Z"}) is None
    assert next_look() is None
