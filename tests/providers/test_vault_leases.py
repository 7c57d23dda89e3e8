from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from providers.vault.session import Sessions
from refresher.contract import Held, Unchanged
from refresher.demo.openbao import OpenBao
from tests.fakes.rabbitmq import rabbitmq
from tests.providers.vault_sources import Clock, Source, Sources, contents, held, unique
from tests.waiting import until


@pytest.fixture
def users() -> set[str]:
    return set()


@pytest.fixture
def mount(bao: OpenBao, users: set[str]) -> Iterator[str]:
    """An engine of dynamic credentials: its role `app` makes a user for a minute, and for 100 s at most."""
    name = unique("rabbitmq")
    with rabbitmq(users) as address:
        bao.enable(name, "rabbitmq")
        connection = {"connection_uri": address, "username": "u", "password": "p", "verify_connection": False}
        bao.write(f"{name}/config/connection", connection)
        bao.write(f"{name}/config/lease", {"ttl": "60s", "max_ttl": "100s"})
        bao.write(f"{name}/roles/app", {"vhosts": '{"/": {"read": ".*"}}'})
        yield name
        bao.delete(f"sys/mounts/{name}")


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path) -> Sources:
    return lambda **options: Source(bao, tmp_path, **options)


def test_dynamic_credentials_are_made_and_come_with_their_lease(source: Sources, mount: str, users: set[str]) -> None:
    found = source(path=f"{mount}/creds/app").fetched()
    assert contents(found)["username"].decode() in users
    assert sorted(contents(found)) == ["password", "username"]
    assert found.minted
    assert found.lease is not None
    assert found.lease.renewable
    assert found.lease.duration == timedelta(seconds=60)


def test_a_renewable_lease_is_renewed_rather_than_replaced(source: Sources, mount: str, users: set[str]) -> None:
    app = source(path=f"{mount}/creds/app")
    first = app.fetched()
    again = app.look(held(first))
    assert isinstance(again, Unchanged)
    assert again.lease is not None
    assert first.lease is not None
    assert again.lease.expires_at > first.lease.expires_at
    assert len(users) == 1
    assert isinstance(app.look(Held(revision=first.revision, digests={}, lease=again.lease)), Unchanged)


def test_a_lease_near_its_longest_life_is_replaced(bao: OpenBao, source: Sources, mount: str, users: set[str]) -> None:
    app = source(path=f"{mount}/creds/app")
    bao.write(f"{mount}/config/lease", {"ttl": "300s", "max_ttl": "300s"})
    first = app.fetched()
    bao.write(f"{mount}/config/lease", {"ttl": "60s", "max_ttl": "100s"})
    second = app.fetched(held(first))
    assert second.revision != first.revision
    assert len(users) == 2


def test_a_revoked_lease_is_replaced(bao: OpenBao, source: Sources, mount: str, users: set[str]) -> None:
    app = source(path=f"{mount}/creds/app")
    first = app.fetched()
    bao.write(f"sys/leases/revoke-prefix/{mount}/creds/app")
    until(lambda: not users)
    assert app.fetched(held(first)).revision != first.revision


def test_a_lease_is_not_believed_to_outlive_the_token_behind_it(
    bao: OpenBao, source: Sources, tmp_path: Path, mount: str
) -> None:
    bao.policy(mount, f'path "{mount}/creds/app" {{ capabilities = ["read"] }}')
    token = tmp_path / "token"
    token.write_text(bao.new_token([mount], ttl="20s", renewable=False))
    found = source(path=f"{mount}/creds/app", auth={"token": {"file": token}}).fetched()
    assert found.lease is not None
    assert timedelta(seconds=15) < found.lease.duration <= timedelta(seconds=20)


def test_a_lease_got_with_another_token_is_replaced(bao: OpenBao, source: Sources, tmp_path: Path, mount: str) -> None:
    bao.policy(mount, f'path "{mount}/creds/app" {{ capabilities = ["read"] }}')
    token = tmp_path / "token"
    token.write_text(bao.new_token([mount]))
    app = source(path=f"{mount}/creds/app", auth={"token": {"file": token}})
    first = app.fetched()
    token.write_text(bao.new_token([mount]))
    assert app.fetched(held(first)).revision != first.revision


def test_an_expired_lease_is_not_even_tried(bao: OpenBao, source: Sources, mount: str) -> None:
    clock = Clock(datetime.now(UTC))
    app = source(path=f"{mount}/creds/app", shared=Sessions(clock))
    first = app.fetched()
    clock.now += timedelta(seconds=61)
    before = len(bao.requests("sys/leases/renew"))
    assert app.fetched(held(first)).revision != first.revision
    assert len(bao.requests("sys/leases/renew")) == before


def test_the_password_is_in_no_representation(source: Sources, mount: str) -> None:
    found = source(path=f"{mount}/creds/app").fetched()
    assert contents(found)["password"].decode() not in repr(found)
